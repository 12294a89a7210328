"""Drives a running example receiver over loopback, with others' libraries as signers: the official
Standard Webhooks ones, and for dynamic webhooks `cryptography` and PyJWT.

    python live.py EXAMPLE

EXAMPLE is the program; it keeps the contract of the examples: what `examples/axum.rs` says of its
environment, deliveries at /gemini-callback and /gemini-webhook-dynamic, a JSON line on stdout for
each run of the handler, an orderly end at SIGTERM.
"""

import atexit
import base64
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FOREIGN = pathlib.Path(__file__).parent.parent.parent / "target" / "foreign"
NEW, OLD, OTHER = ("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(3))
TYPES = [
    "batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled",
    "interaction.requires_action", "interaction.completed", "interaction.failed",
    "interaction.cancelled", "video.generated",
]
failures = []


def check(what, found, expected):
    if found != expected:
        failures.append(f"{what}: {found!r} instead of {expected!r}")


def environment(**variables):
    """That of an example: of the variables that it reads, those that are given."""
    read = {"WEBHOOK_SIGNING_SECRET", "WEBHOOK_ENDPOINT_TOKEN", "ALLOW_ANY_GOOGLE_PROJECT",
            "GEMINI_WEBHOOK_AUDIENCE", "GEMINI_JWKS_URL"}
    others = {name: value for name, value in os.environ.items() if name not in read}
    return {**others, "LISTEN_ADDR": "127.0.0.1:0", "NO_COLOR": "1", "RUST_LOG": "info", **variables}


class Receiver:
    """The example, with its log read until it listens."""

    def __init__(self, program, secret=None, stdout=subprocess.PIPE, command=(), **variables):
        if secret is not None:
            variables["WEBHOOK_SIGNING_SECRET"] = secret
        self.process = subprocess.Popen(
            [*command, program], env=environment(**variables), stdout=stdout, stderr=subprocess.PIPE, text=True)
        # Also where a check fails so that nobody stops it.
        atexit.register(self.process.kill)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"listening on (http://127\.0\.0\.1:(\d+))", line):
                self.port = int(found[2])
                self.url = found[1] + "/gemini-callback"
                self.dynamic = found[1] + "/gemini-webhook-dynamic"
                return
        sys.exit("the example did not start: " + "".join(self.log))

    def stop(self, with_signal):
        """Ends it in order; returns its exit code and what it wrote to stdout."""
        code, out = self.end(with_signal)
        return code, [json.loads(line) for line in (out or "").splitlines()]

    def end(self, with_signal, within=10):
        self.process.send_signal(with_signal)
        try:
            out, log = self.process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            sys.exit("the example did not stop")
        self.log.append(log)
        return self.process.returncode, out


def post(url, headers, body):
    request = urllib.request.Request(url, data=body.encode(), headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return [response.status, response.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]


def send_with_python(url, jobs):
    answers = []
    for job in jobs:
        now = datetime.now(timezone.utc) - timedelta(seconds=job["age"])
        headers = {
            "webhook-id": job["id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": standardwebhooks.Webhook(job["secret"]).sign(job["id"], now, job["signed"]),
        }
        answers.append(post(url, headers, job["sent"]))
    return answers


def send_with_node(url, jobs):
    done = subprocess.run(
        ["node", "live.mjs"], cwd=FOREIGN, input=json.dumps({"url": url, "jobs": jobs}),
        capture_output=True, text=True, check=True, timeout=60,
    )
    return json.loads(done.stdout)


def jobs_of(language):
    """Jobs, the answers they should get, and the handler's runs they should cause."""
    received = [200, json.dumps({"status": "received"}, separators=(",", ":"))]
    jobs, answers, runs = [], [], []

    def add(name, type, answer=received, age=0, secret=NEW, sent=None):
        id = f"msg_{language}_{name}"
        data = {"id": f"jobs/{len(jobs)}", "error_message": "Grüße, 世界"}
        event = {"type": type, "version": "v1", "timestamp": "2026-01-22T12:00:00Z", "data": data,
                 "user_metadata": {"by": language}}
        signed = json.dumps(event, ensure_ascii=False)
        jobs.append(dict(id=id, secret=secret, age=age, signed=signed, sent=sent(signed) if sent else signed))
        answers.append(answer)
        if answer == received:
            runs.append(dict(webhook_id=id, scheme="v1", **event))

    def refused(code):
        return [400, json.dumps({"error": code}, separators=(",", ":"))]

    for type in TYPES:
        add(type, type)
    add("unknown", "model.tuned")
    add("previous", TYPES[0], secret=OLD)
    add("tampered", TYPES[0], refused("signature_mismatch"), sent=lambda body: body.replace("jobs", "JOBS"))
    add("stale", TYPES[0], refused("timestamp_too_old"), age=310)
    add("early", TYPES[0], refused("timestamp_too_new"), age=-310)
    add("foreign", TYPES[0], refused("signature_mismatch"), secret=OTHER)
    add("large", TYPES[0], [413, '{"error":"body_too_large"}'], sent=lambda body: body + " " * 70_000)
    return jobs, answers, runs


class KeyServer:
    """Publishes keys, in Google's place. `status` and `headers` are of its answers from now on."""

    def __init__(self):
        self.keys, self.fetches = [], 0
        self.status, self.headers = 200, {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.fetches += 1
                body = json.dumps({"keys": server.keys}).encode()
                self.send_response(server.status)
                for name, value in {**server.headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/jwks.json"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def drive_dynamic(program):
    """Deliveries under public keys; returns how many were sent."""
    google, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    issuer, forger = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    public = issuer.public_key().public_numbers()
    server = KeyServer()
    server.keys = [
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64url(google.public_key().public_bytes_raw())},
        {"kty": "RSA", "kid": "rsa", "n": b64url(public.n.to_bytes(256, "big")), "e": "AQAB"},
    ]
    token = secrets.token_urlsafe(24)
    receiver = Receiver(program, None, GEMINI_JWKS_URL=server.url, WEBHOOK_ENDPOINT_TOKEN=token,
                        GEMINI_WEBHOOK_AUDIENCE="live")
    event = {"type": "batch.succeeded", "version": "v1", "timestamp": "2026-01-22T12:00:00Z",
             "data": {"id": "batches/1", "output_file_uri": "files/ü"}, "user_metadata": {"by": "python"}}
    body = json.dumps(event, ensure_ascii=False)
    received = [200, '{"status":"received"}']
    sent, runs = 0, []

    def send(name, signature, expected, body=body, target=f"?token={token}", scheme="v1a"):
        nonlocal sent
        sent += 1
        now = str(int(time.time()))
        id = f"msg_{name.replace(' ', '_')}"
        headers = {"webhook-id": id, "webhook-timestamp": now, "webhook-signature": signature(id, now)}
        check(f"the answer to {name}", post(receiver.dynamic + target, headers, body), expected)
        if expected == received:
            runs.append(dict(webhook_id=id, scheme=scheme, **event))

    def ed25519(key):
        return lambda id, now: "v1a," + base64.b64encode(key.sign(f"{id}.{now}.{body}".encode())).decode()

    def rs256(key, **claims):
        now = int(time.time())
        claims = {**event, "aud": "live", "iat": now, "exp": now + 600, "jti": secrets.token_hex(8), **claims}
        return lambda *_: jwt.encode(claims, key, "RS256", headers={"kid": "rsa"})

    def refused(code, status=400):
        return [status, json.dumps({"error": code}, separators=(",", ":"))]

    send("no endpoint token", ed25519(google), refused("wrong_endpoint"), target="")
    send("another endpoint token", ed25519(google), refused("wrong_endpoint"), target="?token=" + "x" * 32)
    check("the fetches before a delivery is ours", server.fetches, 0)
    for number in range(3):
        send(f"v1a {number}", ed25519(google), received)
        send(f"token {number}", rs256(issuer), received, body="", scheme="jwt")
    send("token with its event as a body", rs256(issuer), received, scheme="jwt")
    send("a foreign key", ed25519(stranger), refused("signature_mismatch"))
    send("tampered with", ed25519(google), refused("signature_mismatch"), body=body.replace("batches/1", "batches/2"))
    send("a foreign key under a known name", rs256(forger), refused("signature_mismatch"), body="")
    send("a token for another", rs256(issuer, aud="other"), refused("wrong_audience"), body="")
    send("an expired token", rs256(issuer, exp=int(time.time()) - 400), refused("timestamp_too_old"), body="")
    send("another body than the token's", rs256(issuer), refused("body_mismatch"), body='{"type":"x"}')
    check("the fetches for all of them", server.fetches, 1)
    server.stop()
    send("the key server gone", ed25519(google), received)
    code, lines = receiver.stop(signal.SIGTERM)
    check("the exit code after SIGTERM", code, 0)
    check("the handler's runs", lines, runs)
    log = "".join(receiver.log)
    check("the endpoint token in the log", token in log, False)
    check("the reason in the log", "names" in log or "no key of this receiver" in log, True)

    # Keys that cannot be fetched: nothing is lost, the sender is to come again.
    receiver = Receiver(program, GEMINI_JWKS_URL=server.url, ALLOW_ANY_GOOGLE_PROJECT="1")
    runs.clear()
    send("no key server", ed25519(google), refused("keys_unavailable", 503), target="")
    code, lines = receiver.stop(signal.SIGINT)
    check("the handler's runs without keys", lines, [])
    log = "".join(receiver.log)
    check("the reason in the log", "public keys could not be fetched" in log and "any Google project" in log, True)
    return sent


def drive_environment(program):
    """What is empty is unset, what is around a value is dropped, what is wrong is named."""
    key = Ed25519PrivateKey.generate()
    server = KeyServer()
    server.keys = [{"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64url(key.public_key().public_bytes_raw())}]
    token, url = secrets.token_urlsafe(24), server.url

    def answers(query="", **variables):
        """The statuses of a signed delivery to either route, and the log."""
        receiver = Receiver(program, **variables)
        fixed = send_with_python(receiver.url, jobs_of("python")[0][:1])[0][0]
        id, now = f"msg_{secrets.token_hex(4)}", str(int(time.time()))
        signature = "v1a," + base64.b64encode(key.sign(f"{id}.{now}.{{}}".encode())).decode()
        headers = {"webhook-id": id, "webhook-timestamp": now, "webhook-signature": signature}
        dynamic = post(receiver.dynamic + query, headers, "{}")[0]
        check(f"the exit code, given {variables}", receiver.stop(signal.SIGTERM)[0], 0)
        log = "".join(receiver.log)
        missing = tuple(name for name in ("WEBHOOK_SIGNING_SECRET", "WEBHOOK_ENDPOINT_TOKEN")
                        if re.search(rf"{name} is not set.* answers 404", log))
        return fixed, dynamic, missing

    fixed, dynamic = "WEBHOOK_SIGNING_SECRET", "WEBHOOK_ENDPOINT_TOKEN"
    any_project = dict(ALLOW_ANY_GOOGLE_PROJECT="1", GEMINI_JWKS_URL=url)
    for variables, query, expected in (
        ({}, "", (404, 404, (fixed, dynamic))),
        (dict(secret="", WEBHOOK_ENDPOINT_TOKEN=""), "", (404, 404, (fixed, dynamic))),
        (dict(secret=" \n", WEBHOOK_ENDPOINT_TOKEN=" \n", ALLOW_ANY_GOOGLE_PROJECT="", GEMINI_JWKS_URL=url), "",
         (404, 404, (fixed, dynamic))),
        (dict(ALLOW_ANY_GOOGLE_PROJECT="0", GEMINI_JWKS_URL=url), "", (404, 404, (fixed, dynamic))),
        (dict(secret=f"\t{NEW}\r\n"), "", (200, 404, (dynamic,))),
        (any_project, "", (404, 200, (fixed,))),
        (dict(any_project, WEBHOOK_ENDPOINT_TOKEN=" "), "", (404, 200, (fixed,))),
        (dict(ALLOW_ANY_GOOGLE_PROJECT=" 1\n", GEMINI_JWKS_URL=f" {url}\n"), "", (404, 200, (fixed,))),
        (dict(any_project, WEBHOOK_ENDPOINT_TOKEN=f" {token}\n"), f"?token={token}", (404, 200, (fixed,))),
        # A token that is set is asked for.
        (dict(any_project, WEBHOOK_ENDPOINT_TOKEN=token), "", (404, 400, (fixed,))),
        # An empty audience does not switch the JWT form on, and with it `ConfigError`s of its own.
        (dict(any_project, GEMINI_WEBHOOK_AUDIENCE=" "), "", (404, 200, (fixed,))),
        (dict(any_project, LISTEN_ADDR=" 127.0.0.1:0\n"), "", (404, 200, (fixed,))),
    ):
        check(f"the answers, given {variables}", answers(query, **variables), expected)
    server.stop()
    # Google's keys are not fetched before a delivery is theirs.
    check("the exit code with an empty URL of keys",
          Receiver(program, GEMINI_JWKS_URL=" ", WEBHOOK_ENDPOINT_TOKEN=token).stop(signal.SIGTERM)[0], 0)

    for name, value in (
        ("LISTEN_ADDR", "nowhere"),
        ("WEBHOOK_SIGNING_SECRET", "whsec_short"),
        ("WEBHOOK_SIGNING_SECRET", f"{NEW} whsec_short"),
        ("WEBHOOK_ENDPOINT_TOKEN", "short"),
        ("GEMINI_JWKS_URL", "nonsense"),
        ("GEMINI_JWKS_URL", "http://example.com/keys"),
        ("LISTEN_ADDR", b"\xff"),
        ("WEBHOOK_SIGNING_SECRET", b"hidden\xff"),
        ("WEBHOOK_ENDPOINT_TOKEN", b"hidden\xff"),
        ("GEMINI_JWKS_URL", b"\xff"),
        ("GEMINI_WEBHOOK_AUDIENCE", b"\xff"),
    ):
        variables = environment(**{"ALLOW_ANY_GOOGLE_PROJECT": "1", name: value})
        done = subprocess.run([program], env=variables, capture_output=True, text=True, timeout=10)
        check(f"the exit code, given {name}={value!r}", done.returncode, 1)
        check(f"the name in the log, given {name}={value!r}", f"{name}: " in done.stderr, True)
        check(f"a secret in the log, given {name}={value!r}", "hidden" in done.stderr, False)


def drive_failures(program):
    """A handler that fails, because nobody reads what it writes: its retry runs, once."""
    fifo = pathlib.Path(tempfile.mkdtemp()) / "stdout"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    receiver = Receiver(program, NEW, stdout=os.open(fifo, os.O_WRONLY))
    jobs = jobs_of("failing")[0][:1]
    check("the first", send_with_python(receiver.url, jobs)[0][0], 200)
    jobs[0]["id"] += "_2"
    os.close(reader)
    for attempt in range(2):
        check("an answer while nobody reads", send_with_python(receiver.url, jobs), [[500, ""]])
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    check("its retry", send_with_python(receiver.url, jobs)[0][0], 200)
    check("its line", json.loads(os.read(reader, 65536).splitlines()[-1])["webhook_id"], jobs[0]["id"])
    check("and once more", send_with_python(receiver.url, jobs), [[200, ""]])
    try:
        check("its lines after that", os.read(reader, 65536), b"")
    except BlockingIOError:
        pass  # nothing was written
    check("the exit code after SIGINT", receiver.stop(signal.SIGINT)[0], 0)
    return 5


def main(program):
    began = time.monotonic()
    receiver = Receiver(program, f" {NEW}\n{OLD} ")
    sent, expected_runs = 0, []
    for language, send in (("python", send_with_python), ("node", send_with_node)):
        jobs, answers, runs = jobs_of(language)
        for job, answer, expected in zip(jobs, send(receiver.url, jobs), answers, strict=True):
            check(f"the answer to {job['id']}", answer, expected)
        sent += len(jobs)
        expected_runs += runs
    check("the answer to nothing", post(receiver.url, {}, ""), [400, '{"error":"missing_header"}'])
    # The same ids again, signed anew, as a retry is: answered, and not run.
    for job, answer in zip(jobs, send(receiver.url, jobs), strict=True):
        if any(run["webhook_id"] == job["id"] for run in expected_runs):
            check(f"the answer to {job['id']} again", answer, [200, ""])
            sent += 1
    code, runs = receiver.stop(signal.SIGTERM)
    check("the exit code after SIGTERM", code, 0)
    check("the handler's runs", runs, expected_runs)
    for secret in (NEW, OLD):
        check("the secret in the log", secret in "".join(receiver.log), False)

    bare = Receiver(program, None)
    check("the answer without a secret", post(bare.url, {}, "")[0], 404)
    check("the reason in the log", "WEBHOOK_SIGNING_SECRET" in "".join(bare.log), True)
    check("the exit code after SIGINT", bare.stop(signal.SIGINT)[0], 0)

    drive_environment(program)
    sent += drive_dynamic(program) + drive_failures(program)
    for failure in failures:
        print(failure)
    print(f"{sent} deliveries signed by other libraries, "
          f"{len(failures)} surprises, {time.monotonic() - began:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
