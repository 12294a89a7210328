"""What the soak test sends: genuine deliveries, repeats and refusals, under keys and secrets that rotate."""

import base64
import collections
import heapq
import itertools
import json
import random
import secrets
import socket
import struct
import threading
import time
from datetime import datetime, timedelta, timezone

import jwt
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps import AUDIENCE, TOKEN
from drive import DYNAMIC, RECEIVED, STATIC, TOO_LARGE, Connection, refused
from live import b64url

SENDERS = 4
REPEATS, REFUSALS, FRESH_CONNECTIONS = 0.1, 0.1, 0.2
LISTED = ["whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(3)]
SIGNERS = [standardwebhooks.Webhook(secret) for secret in LISTED]
UNLISTED = standardwebhooks.Webhook("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
# How long one of the listed secrets signs.
SECRET_PERIOD = 15

# A receiver asks for unknown keys once in 30 s, and after failed fetches not sooner either. So long a
# delivery under new keys may be refused, or an unknown key be called unavailable; then a fetch follows.
COOL_DOWN = 30
MARGIN = 10
# Keys are fetched anew after a minute. A failed fetch may put that off, by the outage and its cool-down.
DEAD = 60 + 30 + COOL_DOWN + MARGIN
RETRY_AFTER = 3
# Whose keys a refusal is about: nobody's that are published, or those that sign now.
UNKNOWN, CURRENT = "unknown", "current"
NOT_KNOWN = [refused("signature_mismatch"), refused("unknown_key"), refused("keys_unavailable", 503)]


class Keys:
    """What signs dynamic webhooks: a key of either kind."""

    def __init__(self, name):
        self.name = name
        self.ed, self.rsa = Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)

    def published(self):
        numbers = self.rsa.public_key().public_numbers()
        return [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed-" + self.name, "x": b64url(self.ed.public_key().public_bytes_raw())},
            {"kty": "RSA", "kid": "rsa-" + self.name, "n": b64url(numbers.n.to_bytes(256, "big")), "e": "AQAB"},
        ]

    def v1a(self, id, now, body):
        return "v1a," + base64.b64encode(self.ed.sign(f"{id}.{now}.{body}".encode())).decode()

    def token(self, id, now, body, audience=AUDIENCE):
        claims = {**json.loads(body), "aud": audience, "iat": now, "exp": now + 600, "jti": id}
        return jwt.encode(claims, self.rsa, "RS256", headers={"kid": "rsa-" + self.name})


class Rotation:
    """Publishes keys, signs with them, withdraws those before them, and then has the key server fail for a
    while; again and again."""

    def __init__(self, server, period):
        self.server, self.period = server, period
        self.now, self.next, self.withdrawn = Keys("0"), None, collections.deque(maxlen=8)
        self.count, self.outages, self.crashed = 0, 0, None
        self.switched = self.trouble_until = -1000.0
        self.stranger = Keys("stranger")
        server.headers = {"cache-control": "max-age=60"}
        server.keys = self.now.published()

    def publish(self):
        self.next = Keys(str(self.count + 1))
        self.server.keys = [*self.server.keys, *self.next.published()]

    def switch(self):
        self.withdrawn.append((time.monotonic() + 10, self.now))
        # First, so that nobody signs with them before it is known that they are new.
        self.switched = time.monotonic()
        self.now, self.next = self.next, None
        self.count += 1

    def withdraw(self):
        self.server.keys = self.now.published()

    def fail(self):
        # Whenever the outage ends, a cool-down follows.
        self.trouble_until = float("inf")
        self.server.status = 500
        self.outages += 1

    def recover(self):
        self.server.status = 200
        self.trouble_until = time.monotonic() + COOL_DOWN + MARGIN

    def run(self, stop):
        try:
            self.rotate(stop)
        except Exception as error:
            self.crashed = error

    def rotate(self, stop):
        for turn in itertools.count():
            # Receivers see new keys by themselves within a cool-down. Every other time nobody waits for that,
            # and senders have to come again.
            lead = COOL_DOWN + 5 if turn % 2 == 0 else 1
            steps = [(self.period / 12, self.publish), (lead, self.switch), (5, self.withdraw),
                     (COOL_DOWN + 7 - lead, self.fail), (self.period / 8, self.recover)]
            steps.append((self.period - sum(wait for wait, _ in steps), lambda: None))
            for wait, step in steps:
                if stop.wait(wait):
                    return
                step()

    def may_be_new(self):
        """Whether a receiver may not know the keys that sign now."""
        return time.monotonic() < self.switched + COOL_DOWN + MARGIN

    def is_in_trouble(self):
        return time.monotonic() < self.trouble_until

    def dead(self):
        """Keys that no receiver takes any more."""
        long_ago = time.monotonic() - DEAD
        return next((keys for withdrawn, keys in self.withdrawn if withdrawn < long_ago), None)


class Event:
    """A genuine event, sent until it is taken."""

    def __init__(self, app, order, scheme=None):
        self.number, self.id = app.new_id()
        self.scheme = scheme or order.choices(["v1", "v1a", "jwt"], weights=[10, 8, 2])[0]
        # A JWT is in the head, and must not be large.
        sizes = [order.randrange(10, 1000), 12_000 if self.scheme != "jwt" else 0]
        text = secrets.token_urlsafe(order.choices(sizes, weights=[50, 1])[0])
        event = {"type": "batch.succeeded", "version": "v1", "timestamp": "2026-01-22T12:00:00Z",
                 "data": {"id": f"batches/{self.number}"}, "user_metadata": {"text": text}}
        self.body = json.dumps(event)
        self.expected = RECEIVED

    def signed(self, rotation, age=0):
        """The path, the headers and the body to send."""
        sent = datetime.now(timezone.utc) - timedelta(seconds=age)
        now = int(sent.timestamp())
        if self.scheme == "v1":
            turn = int(time.monotonic() / SECRET_PERIOD)
            signature = SIGNERS[turn % len(SIGNERS)].sign(self.id, sent, self.body)
            if turn % 2:
                # While secrets rotate, Google signs with both.
                signature = UNLISTED.sign(self.id, sent, self.body) + " " + signature
            return request(STATIC, self.id, now, signature, self.body)
        if self.scheme == "v1a":
            return request(dynamic(), self.id, now, rotation.now.v1a(self.id, now, self.body), self.body)
        return request(dynamic(), self.id, now, rotation.now.token(self.id, now, self.body), "")


def dynamic(token=TOKEN):
    return f"{DYNAMIC}?token={token}"


class Request:
    """A whole request, as `Connection.send` wants it."""

    def __init__(self, head, body):
        self.head, self.body = head, body

    def pieces(self):
        yield self.head + self.body


def request(path, id, now, signature, body, method="POST"):
    headers = {"webhook-id": id, "webhook-timestamp": now, "webhook-signature": signature}
    lines = [f"{method} {path} HTTP/1.1", "host: receiver.example", "content-type: application/json",
             f"content-length: {len(body.encode())}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return Request(("\r\n".join(lines) + "\r\n\r\n").encode(), body.encode())


def refusal(app, rotation, order):
    """A request that must be refused: its kind, itself, the right answer, and whose keys it is about."""
    event = Event(app, order, "jwt")
    id, body, now = event.id, event.body, int(time.time())
    mismatch = refused("signature_mismatch")

    def fixed(body=body, signer=SIGNERS[0], age=0, sent=None, **how):
        when = datetime.fromtimestamp(now - age, timezone.utc)
        return request(STATIC, id, now - age, signer.sign(id, when, body), sent or body, **how)

    def under(keys, scheme):
        if scheme == "v1a":
            return request(dynamic(), id, now, keys.v1a(id, now, body), body)
        return request(dynamic(), id, now, keys.token(id, now, body), "")

    keys, stranger, dead = rotation.now, rotation.stranger, rotation.dead()
    kinds = {
        "a forged body": lambda: (fixed(sent=body.replace("batches", "BATCHES")), mismatch),
        "a secret that is not listed": lambda: (fixed(signer=UNLISTED), mismatch),
        "a stale timestamp": lambda: (fixed(age=400), refused("timestamp_too_old")),
        "an early timestamp": lambda: (fixed(age=-400), refused("timestamp_too_new")),
        "no headers": lambda: (request(STATIC, None, None, None, body), refused("missing_header")),
        "70 KB": lambda: (fixed(body=body + " " * 70_000), TOO_LARGE),
        "another method": lambda: (fixed(method="PUT"), refused("method_not_allowed", 405)),
        "no endpoint token": lambda: (request(DYNAMIC, id, now, "v1a,AAAA", body), refused("wrong_endpoint")),
        "a wrong endpoint token": lambda: (
            request(dynamic("x" * 32), id, now, keys.v1a(id, now, body), body), refused("wrong_endpoint")),
        "an unknown key": lambda: (under(stranger, "v1a"), mismatch, UNKNOWN),
        "a JWT under an unknown key": lambda: (under(stranger, "jwt"), refused("unknown_key"), UNKNOWN),
        "a JWT for another": lambda: (
            request(dynamic(), id, now, keys.token(id, now, body, "another"), ""), refused("wrong_audience"), CURRENT),
    }
    if dead:
        kinds["a key withdrawn long ago"] = lambda: (under(dead, "v1a"), mismatch, UNKNOWN)
    kind = order.choice(list(kinds))
    message, right, *about = kinds[kind]()
    return kind, message, right, about[0] if about else None


def leave(app, rotation, order):
    """Sends half a head, or half a body, and leaves, in order or not."""
    message = Event(app, order).signed(rotation)
    half_head, half_body = len(message.head) // 2, len(message.head) + len(message.body) // 2
    sent = order.choice([half_head, len(message.head), half_body] if message.body else [half_head])
    with socket.create_connection(("127.0.0.1", app.port), timeout=10) as connection:
        connection.sendall((message.head + message.body)[:sent])
        time.sleep(order.choice([0, 0.02, 0.2]))
        if order.random() < 0.5:
            # Closed by a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Sender(threading.Thread):
    """One of those who send to a receiver, each over a connection that it keeps, and at times a fresh one."""

    def __init__(self, app, rotation, interval, seed, stop):
        super().__init__(daemon=True)
        self.app, self.rotation, self.interval, self.stop = app, rotation, interval, stop
        self.order = random.Random(seed)
        self.kept = Connection(app.port)
        # Of which some are sent again: what came last, and what came first, which must still be known.
        self.first, self.last = [], collections.deque(maxlen=100)
        self.retries = []
        self.counts, self.wrong = collections.Counter(), collections.Counter()
        self.crashed = None

    def run(self):
        try:
            due = time.monotonic() + self.interval * self.order.random()
            while not self.stop.wait(max(0, due - time.monotonic())):
                due += self.interval
                self.next()
            while self.retries:
                time.sleep(0.1)
                self.retry()
        except Exception as error:
            self.crashed = error
        finally:
            self.kept.close()

    def next(self):
        self.counts["sent"] += 1
        chance = self.order.random()
        if self.retry():
            return
        if chance < REPEATS and self.last:
            self.counts["repeats"] += 1
            event = self.order.choice(self.last if self.order.random() < 0.8 else self.first)
            event.expected = self.app.repeated
            self.deliver(event)
        elif chance < REPEATS + REFUSALS:
            # One in five.
            if self.order.random() < 0.2:
                self.counts["left"] += 1
                leave(self.app, self.rotation, self.order)
            else:
                self.counts["refused"] += 1
                self.refuse()
        else:
            self.deliver(Event(self.app, self.order))

    def retry(self):
        if not self.retries or self.retries[0][0] > time.monotonic():
            return False
        self.deliver(heapq.heappop(self.retries)[2])
        return True

    def send(self, message):
        if self.order.random() >= FRESH_CONNECTIONS:
            return self.kept.send(message)
        fresh = Connection(self.app.port)
        try:
            return fresh.send(message)
        finally:
            fresh.close()

    def refuse(self):
        kind, message, right, about = refusal(self.app, self.rotation, self.order)
        answer = self.send(message)
        if about == UNKNOWN and self.rotation.is_in_trouble() and answer == refused("keys_unavailable", 503):
            # Without the key server nobody knows whether a key is a new one.
            return
        if about == CURRENT and self.rotation.may_be_new() and answer in NOT_KNOWN:
            return
        self.judge(kind, answer, right)

    def deliver(self, event):
        answer = self.send(event.signed(self.rotation))
        if event.scheme != "v1" and answer in NOT_KNOWN and self.rotation.may_be_new():
            self.counts["retries"] += 1
            heapq.heappush(self.retries, (time.monotonic() + RETRY_AFTER, self.counts["retries"], event))
            return
        is_new = not self.app.expected[event.number]
        self.judge(f"{'a genuine delivery' if is_new else 'a repeat'}, {event.scheme}", answer, event.expected)
        if is_new and answer == RECEIVED:
            self.app.expect(event.number, event.body)
            if len(self.first) < 20:
                self.first.append(event)
            self.last.append(event)

    def judge(self, kind, answer, right):
        if answer != right:
            self.wrong[kind, str(answer)[:80]] += 1
