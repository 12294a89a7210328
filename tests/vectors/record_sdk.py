"""Records what Google's own Python SDK puts on the wire, into sdk-requests.json.

It runs against a server on this machine, with a key that is none. The requests do not depend on the
answers, so a second run writes the same bytes.
"""

import importlib.metadata
import json
import pathlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from google import genai
from google.genai import types

KEY = "fake-key-123"
HOOK = "https://my-api.com/gemini-callback"
METADATA = {"job_group": "nightly-eval", "priority": "high"}
CONFIG = {"uris": ["https://my-api.com/gemini-webhook-dynamic"], "user_metadata": METADATA}
MODEL = "gemini-3-flash-preview"


class Recorder(BaseHTTPRequestHandler):
    """Answers what every call can read, and keeps the request."""

    last = None

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        Recorder.last = {
            "method": self.command,
            "target": self.path,
            "key": self.headers.get("x-goog-api-key"),
            "body": json.loads(body) if body else None,
        }
        # Enough of a webhook, a secret, a batch and an interaction.
        answer = json.dumps(
            {
                "id": "wh_123",
                "uri": HOOK,
                "subscribed_events": [],
                "secret": "whsec_none",
                "name": "batches/b123",
                "metadata": {"@type": "x", "state": "BATCH_STATE_PENDING"},
                "status": "in_progress",
            }
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


def calls(client):
    webhooks, batches, interactions = client.webhooks, client.batches, client.interactions
    inline = [{"contents": [{"parts": [{"text": "hi"}], "role": "user"}]}]
    batch = types.CreateBatchJobConfig(display_name="My Setup", webhook_config=CONFIG)

    def rotate(**how):
        return lambda: webhooks.rotate_signing_secret("wh_123", **how)

    yield "webhooks.create", lambda: webhooks.create(
        subscribed_events=["batch.succeeded", "batch.failed"], uri=HOOK, name="MyBatchWebhook"
    )
    yield "webhooks.get", lambda: webhooks.get("wh_123")
    yield "webhooks.list", webhooks.list
    yield "webhooks.list(page)", lambda: webhooks.list(page_size=5, page_token="tok/1=")
    # A token as the service makes them: raw text, with control characters and line breaks.
    yield "webhooks.list(raw token)", lambda: webhooks.list(page_token="\x08\x12a\n\x1f+/é~")
    yield "webhooks.update", lambda: webhooks.update(
        "wh_123", subscribed_events=["batch.succeeded", "batch.failed", "batch.expired"]
    )
    yield "webhooks.update(mask)", lambda: webhooks.update(
        "wh_123", update_mask="name,state,uri", name="n2", state="disabled", uri=HOOK
    )
    yield "webhooks.rotate_signing_secret(lower)", rotate(
        revocation_behavior="revoke_previous_secrets_after_h24"
    )
    yield "webhooks.rotate_signing_secret(immediately)", rotate(
        revocation_behavior="revoke_previous_secrets_immediately"
    )
    yield "webhooks.rotate_signing_secret(none)", rotate()
    yield "webhooks.ping", lambda: webhooks.ping("wh_123")
    yield "webhooks.delete", lambda: webhooks.delete("wh_123")
    yield "batches.create(file src)", lambda: batches.create(
        model=MODEL, src="files/uploaded_file_id", config=batch
    )
    yield "batches.create(inline src)", lambda: batches.create(model=MODEL, src=inline, config=batch)
    yield "interactions.create(model, background)", lambda: interactions.create(
        model=MODEL, input="hello", background=True, webhook_config=CONFIG
    )
    yield "interactions.create(agent)", lambda: interactions.create(
        agent="deep-research-pro-preview-12-2025", input="hello", background=True, webhook_config=CONFIG
    )
    yield "batches.get", lambda: batches.get(name="batches/b123")
    yield "batches.list", batches.list
    yield "interactions.get", lambda: interactions.get("v1_abc")
    yield "videos.get", lambda: client.operations.get(
        types.GenerateVideosOperation(name="models/veo-3.1/operations/op123")
    )
    yield "triggers.create", lambda: client.triggers.create(
        interaction={
            "agent": "a",
            "input": "x",
            "webhook_config": {"uris": ["https://h.example/x"], "user_metadata": {"a": "b"}},
        },
        schedule="0 9 * * *",
        time_zone="Europe/Berlin",
    )


def main():
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = genai.Client(
        api_key=KEY,
        http_options={"base_url": f"http://127.0.0.1:{server.server_port}"},
    )
    requests = []
    for name, call in calls(client):
        Recorder.last = None
        call()
        request = Recorder.last
        assert request is not None, f"{name} sent nothing"
        assert request.pop("key") == KEY, f"{name} sent another key"
        requests.append({"call": name, **request})
    version = importlib.metadata.version("google-genai")
    recording = {"source": f"google-genai {version} (PyPI), with a fake API key", "requests": requests}
    path = pathlib.Path(__file__).with_name("sdk-requests.json")
    path.write_text(json.dumps(recording, indent=1, ensure_ascii=False) + "\n")


main()
