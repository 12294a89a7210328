"""Drives a running example receiver over loopback, with the official libraries as signers.

    python live.py EXAMPLE

EXAMPLE is the program; it keeps the contract of the examples: LISTEN_ADDR and
WEBHOOK_SIGNING_SECRET, deliveries at /gemini-callback, a JSON line on stdout for each run of the
handler, an orderly end at SIGTERM.
"""

import base64
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

import standardwebhooks

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


class Receiver:
    """The example, with its log read until it listens."""

    def __init__(self, program, secret):
        env = {**os.environ, "LISTEN_ADDR": "127.0.0.1:0", "NO_COLOR": "1", "RUST_LOG": "info"}
        env.pop("WEBHOOK_SIGNING_SECRET", None)
        if secret is not None:
            env["WEBHOOK_SIGNING_SECRET"] = secret
        self.process = subprocess.Popen([program], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"listening on (http://[0-9.:]+)", line):
                self.url = found[1] + "/gemini-callback"
                return
        sys.exit("the example did not start: " + "".join(self.log))

    def stop(self, with_signal):
        """Ends it in order; returns its exit code and what it wrote to stdout."""
        self.process.send_signal(with_signal)
        try:
            out, log = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            sys.exit("the example did not stop")
        self.log.append(log)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


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
    code, runs = receiver.stop(signal.SIGTERM)
    check("the exit code after SIGTERM", code, 0)
    check("the handler's runs", runs, expected_runs)
    for secret in (NEW, OLD):
        check("the secret in the log", secret in "".join(receiver.log), False)

    bare = Receiver(program, None)
    check("the answer without a secret", post(bare.url, {}, "")[0], 404)
    check("the reason in the log", "WEBHOOK_SIGNING_SECRET" in "".join(bare.log), True)
    check("the exit code after SIGINT", bare.stop(signal.SIGINT)[0], 0)

    for failure in failures:
        print(failure)
    print(f"{sent} deliveries by the official libraries, {len(runs)} handled, "
          f"{len(failures)} surprises, {time.monotonic() - began:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
