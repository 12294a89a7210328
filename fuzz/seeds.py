#!/usr/bin/env python3
"""Writes the first inputs of each target into a folder, from the vectors of the tests: FOLDER/TARGET/NUMBER.
A second run writes the same.

    fuzz/seeds.py FOLDER
"""

import base64
import json
import pathlib
import random
import sys

VECTORS = pathlib.Path(__file__).parent.parent / "tests/vectors"
# As in src/lib.rs.
SECRETS = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_plJ3nmyCDGBKInavdOK15jsl",
]
HEADER = b'{"alg":"RS256","kid":"rsa-1","typ":"JWT"}'
TYPES = [
    "batch.succeeded", "batch.completed", "batch.failed", "batch.expired", "batch.cancelled",
    "interaction.requires_action", "interaction.completed", "interaction.failed", "interaction.cancelled",
    "video.generated", "gemini-webhooks.video.failed", "gemini-webhooks.interaction.incomplete",
]  # fmt: skip


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())["vectors"]


def body(vector):
    if "body_base64" in vector:
        return base64.b64decode(vector["body_base64"])
    return vector.get("body", "").encode()


def lines(vector):
    """The header lines. A character stands for a byte."""
    return [(name, value.encode("latin-1")) for name, value in vector.get("headers", [])]


def values(vector):
    """The three values, if each is there."""
    found = {name.lower(): value for name, value in reversed(lines(vector))}
    names = ["webhook-id", "webhook-timestamp", "webhook-signature"]
    return [found[name] for name in names] if all(name in found for name in names) else None


def part(data):
    """As `part` of src/lib.rs reads it."""
    return len(data).to_bytes(2, "little") + data


def captures():
    for vector in vectors("v1"):
        content = body(vector)
        # Longer ones are slow, and show nothing else.
        if len(content) > 1024:
            continue
        http = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in lines(vector))
        yield b"POST /hook HTTP/1.1\r\n" + http + b"\r\n" + content
        curl = b"".join(b" -H '" + name.encode() + b": " + value + b"'" for name, value in lines(vector))
        yield b"curl" + curl + b" --data-binary '" + content + b"' http://localhost/hook"
        request = {
            "method": "POST",
            "url": "http://localhost/hook",
            "headers": [{"name": name, "value": value.decode("latin-1")} for name, value in lines(vector)],
            "postData": {"text": content.decode("utf-8", "replace")},
        }
        yield json.dumps({"log": {"entries": [{"request": request}]}}).encode()


def endpoint_tokens():
    for token in [b"0123456789abcdefghijkl", b"ABCDEFGHIJKLMNOPQRSTUV-_"]:
        # `@` becomes this token, `$` another.
        for url in [
            "https://example.com/hook", "https://example.com/hook?a=1&b", "https://example.com/@/?a=1#x",
            "https://example.com/hook?token=@", "https://example.com?token=$&c#d?token=e", "/hook/$",
            "/hook?token=@&token=$", "/@//", "",
        ]:  # fmt: skip
            yield part(token) + url.encode()


def events():
    for name in ["v1", "v1a", "jwt", "jwks"]:
        for vector in vectors(name):
            yield body(vector)
            if "payload_base64" in vector:
                yield base64.b64decode(vector["payload_base64"])
    yield b'{"type":"batch.failed","data":null,"user_metadata":null}'
    yield b'{"type":"batch.failed","data":{"id":null,"user_metadata":{"order":7}}}'
    for name in TYPES:
        data = {"id": "batches/1", "error_code": 13, "error_message": "m", "output_file_uri": "files/2"}
        event = {"type": name, "version": "v1", "timestamp": "2026-01-22T12:00:00Z", "data": data}
        yield json.dumps({**event, "user_metadata": {"order": 7}}).encode()


def headers():
    """As others signed them, and with entries that the target signs."""
    for vector in vectors("v1") + vectors("v1a"):
        if not (found := values(vector)):
            continue
        secrets = sum(1 << number for number, secret in enumerate(SECRETS) if secret in vector["secrets"])
        keys = 0b1110 if "jwks" in vector else 0
        webhook_id, timestamp, signatures = found
        start = bytes([secrets, keys, 0, 0, 0]) + part(webhook_id) + part(timestamp) + part(body(vector))
        literal = 5
        yield start + bytes([1, literal, 0, 0]) + part(signatures)
        for kinds in [[0, 2, 4], [1, 3, 0], [6, 8, 2], [4, 1, 12]]:
            yield start + bytes([3]) + b"".join(bytes([kind, 1, 9]) for kind in kinds)


def key_sets():
    for vector in vectors("v1a"):
        yield json.dumps(vector["jwks"]).encode()
    for vector in vectors("jwks"):
        yield base64.b64decode(vector["set_base64"]) if "set_base64" in vector else vector["set"].encode()


def tokens():
    """Headers and claims, which the target signs anew."""
    for vector in vectors("jwt"):
        parts = (values(vector) or [b"", b"", b""])[2].split(b".")
        if len(parts) != 3:
            continue
        try:
            header, claims = (base64.urlsafe_b64decode(text + b"==") for text in parts[:2])
        except ValueError:
            continue
        for header in [header, HEADER]:
            yield bytes(5) + part(header) + part(claims) + part(body(vector)) + part(b"")


def steps():
    """For inputs that are steps to take, any bytes are some."""
    generator = random.Random(1)
    return [generator.randbytes(16 * length) for length in range(1, 33)]


def main():
    targets = dict(
        captures=captures(), endpoint_tokens=endpoint_tokens(), events=events(), guard=steps(), headers=headers(),
        key_sets=key_sets(), receiver=steps(), tokens=tokens(),
    )  # fmt: skip
    for target, inputs in targets.items():
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        # libFuzzer is told not to read more than 16 KiB.
        inputs = sorted({data for data in inputs if len(data) <= 16 * 1024})
        if not inputs:
            sys.exit(f"{target} has no seeds")
        for number, data in enumerate(inputs):
            (folder / str(number)).write_bytes(data)


main()
