"""Runs Google's own SDK against the mock, from the first webhook to the last, with a receiver that
verifies by the official Standard Webhooks library (`v1`) and by `cryptography` (`v1a`).

    python google_sdk.py EXAMPLE
"""

import base64
import json
import subprocess
import sys
import threading
import urllib.request
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer

import standardwebhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google import genai
from google.genai import types

# The SDK calls some of its interfaces experimental.
warnings.simplefilter("ignore")


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r} instead of {expected!r}")
    print(f"ok: {what}")


def refused(what, call):
    """By the service, not by the SDK."""
    try:
        call()
    except Exception as error:
        check(what, getattr(error, "status_code", None) or getattr(error, "code", repr(error)), 400)
    else:
        sys.exit(f"{what}: not refused")


class Google:
    """The mock, and what happens there."""

    def __init__(self, example):
        self.process = subprocess.Popen([example], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.base, self.key = self.process.stdout.readline().split()

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def tell(self, command):
        check(command, self.ask(command), "ok")

    def end(self):
        self.process.stdin.close()
        check("the mock's end", self.process.wait(timeout=20), 0)

    def public_keys(self):
        with urllib.request.urlopen(f"{self.base}/.well-known/jwks.json") as response:
            keys = json.load(response)["keys"]
        return [Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "==")) for key in keys]


class Receiver:
    """Takes down what verifies, and refuses the rest."""

    def __init__(self, google):
        self.secrets, self.events, self.google = [], [], google
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    scheme = receiver.verify(self.headers, body)
                except (standardwebhooks.WebhookVerificationError, InvalidSignature) as error:
                    print(f"refused: {error!r}")
                    self.send_response(400)
                else:
                    receiver.events.append((scheme, json.loads(body)))
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/gemini-callback"

    def verify(self, headers, body):
        signature = headers["webhook-signature"]
        if not signature.startswith("v1a,"):
            for secret in self.secrets:
                standardwebhooks.Webhook(secret + "=" * (-len(secret.removeprefix("whsec_")) % 4)).verify(body, dict(headers))
            return "v1"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        for key in self.google.public_keys():
            try:
                key.verify(base64.b64decode(signature.removeprefix("v1a,")), signed)
                return "v1a"
            except InvalidSignature:
                pass
        raise InvalidSignature

    def last(self):
        scheme, event = self.events[-1]
        return scheme, event["type"], event["data"]["id"]


def webhooks(google, receiver, client, version):
    of_version = {"api_version": version}
    check("an empty project", client.webhooks.list(**of_version).webhooks, None)
    created = client.webhooks.create(
        subscribed_events=["batch.succeeded", "interaction.completed"], uri=receiver.url, name="first", **of_version)
    receiver.secrets = [created.new_signing_secret]
    check("a new webhook", (created.state, created.name, created.uri), ("enabled", "first", receiver.url))
    check("its creation", created.create_time is not None, True)
    found = client.webhooks.get(created.id, **of_version)
    check("its secret, shown once", found.new_signing_secret, None)
    check("its secret, truncated", found.signing_secrets[0].truncated_secret,
          "whsec_..." + created.new_signing_secret[-4:])

    others = [client.webhooks.create(subscribed_events=["batch.failed"], uri=receiver.url, **of_version)
              for _ in range(4)]
    listed, token = [], None
    while True:
        page = client.webhooks.list(page_size=2, page_token=token, **of_version)
        listed += [webhook.id for webhook in page.webhooks]
        token = page.next_page_token
        if token is None:
            break
    check("its pages", sorted(listed), sorted([created.id] + [other.id for other in others]))
    for other in others:
        client.webhooks.delete(other.id, **of_version)

    updated = client.webhooks.update(created.id, name="second", update_mask="name", **of_version)
    check("an update", (updated.name, updated.state), ("second", "enabled"))
    refused("a mask of nothing known", lambda: client.webhooks.update(created.id, name="n", update_mask="colour", **of_version))
    refused("batch.completed", lambda: client.webhooks.create(subscribed_events=["batch.completed"], uri=receiver.url, **of_version))

    check("a rotation by default", client.webhooks.rotate_signing_secret(created.id, **of_version).secret != created.new_signing_secret, True)
    rotated = client.webhooks.rotate_signing_secret(
        created.id, revocation_behavior="revoke_previous_secrets_after_h24", **of_version).secret
    # Each of them signs for a day; the receiver asks for both.
    receiver.secrets.append(rotated)
    secrets = client.webhooks.get(created.id, **of_version).signing_secrets
    check("secrets after two rotations", [secret.expire_time is None for secret in secrets], [False, False, True])
    client.webhooks.ping(created.id, **of_version)
    sent = json.loads(google.ask("deliveries"))[-1]
    check("a ping", (sent["type"], sent["attempts"]), ("webhook.ping", [204]))
    return created.id


def batches(google, receiver, client):
    batch = client.batches.create(model="gemini-3-flash-preview", src="files/input", config={"display_name": "My batch"})
    check("a new batch", (batch.state.name, batch.display_name), ("JOB_STATE_PENDING", "My batch"))
    google.tell(f"batch {batch.name} succeeded")
    batch = client.batches.get(name=batch.name)
    check("its end", (batch.state.name, batch.done), ("JOB_STATE_SUCCEEDED", True))
    check("its output", batch.dest.file_name is not None, True)
    check("its event", receiver.last(), ("v1", "batch.succeeded", batch.name))

    config = {"webhook_config": {"uris": [receiver.url], "user_metadata": {"job": "nightly"}}}
    source = [types.InlinedRequest(contents=[{"parts": [{"text": "hi"}], "role": "user"}])]
    own = client.batches.create(model="gemini-3-flash-preview", src=source, config=config)
    google.tell(f"batch {own.name} failed")
    check("a failed one", client.batches.get(name=own.name).state.name, "JOB_STATE_FAILED")
    check("its own event", receiver.last(), ("v1a", "batch.failed", own.name))
    check("its metadata", receiver.events[-1][1]["user_metadata"], {"job": "nightly"})
    check("both, listed", sorted(job.name for job in client.batches.list()), sorted([batch.name, own.name]))


def interactions(google, receiver, client):
    created = client.interactions.create(model="gemini-3-flash-preview", input="hello", background=True)
    check("a new interaction", created.status, "in_progress")
    google.tell(f"interaction {created.id} completed")
    check("its end", client.interactions.get(created.id).status, "completed")
    check("its event", receiver.last(), ("v1", "interaction.completed", created.id))

    config = {"uris": [receiver.url], "user_metadata": {"job": "nightly"}}
    own = client.interactions.create(
        agent="deep-research-pro-preview-12-2025", input="hello", background=True, webhook_config=config)
    check("its webhook config", own.webhook_config.uris, config["uris"])
    google.tell("rotate-keys")
    google.tell(f"interaction {own.id} requires_action")
    check("its own event", receiver.last(), ("v1a", "interaction.requires_action", own.id))

    trigger = client.triggers.create(
        interaction={"agent": "a", "input": "x", "webhook_config": config},
        schedule="0 9 * * *", time_zone="Europe/Berlin")
    started = google.ask(f"trigger {trigger.id}")
    google.tell(f"interaction {started} cancelled")
    check("of a trigger", receiver.last(), ("v1a", "interaction.cancelled", started))


def main(example):
    google = Google(example)
    receiver = Receiver(google)

    def client_with(key):
        options = types.HttpOptions(base_url=google.base, timeout=10_000)
        return genai.Client(api_key=key, http_options=options)

    client = client_with(google.key)
    for version in ["v1beta", "v1"]:
        webhook = webhooks(google, receiver, client, version)
        if version == "v1":
            batches(google, receiver, client)
            interactions(google, receiver, client)
        client.webhooks.delete(webhook, api_version=version)
    stranger = client_with("another")
    refused("another API key", lambda: stranger.webhooks.list())
    google.end()


main(sys.argv[1])
