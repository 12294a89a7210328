"""Makes v1.json, v1a.json and jwt.json: deliveries signed by others' libraries, good ones and bad ones.

    scripts/foreign-env && target/foreign/venv/bin/python tests/vectors/make.py

Ids and times are fixed, so a second run writes the same bytes. Each vector says which status and
which code it should get; "ok" stands for reaching the handler. The verdicts follow from the
protocol and the rules of this crate, never from running it.
"""

import base64
import hashlib
import hmac
import importlib.metadata
import json
import pathlib
import subprocess
from datetime import datetime, timezone

import jwt
import standardwebhooks
import svix
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from freezegun import freeze_time

from keys import jwk, number, rsa_jwk, rsa_key

HERE = pathlib.Path(__file__).parent
FOREIGN = HERE.parent.parent / "target" / "foreign"

NOW = 1_769_083_200
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
FOREIGN_SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
BODY = '{"type":"batch.succeeded","version":"v1","timestamp":"2026-01-22T12:00:00Z","data":{"id":"batches/1","output_file_uri":"files/2"}}'


def at(seconds):
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def python_standardwebhooks(secret, id, timestamp, body):
    return standardwebhooks.Webhook(secret).sign(id, at(timestamp), body)


def python_svix(secret, id, timestamp, body):
    return svix.Webhook(secret).sign(id, at(timestamp), body)


def javascript(library):
    def sign(secret, id, timestamp, body):
        job = dict(library=library, secret=secret, id=id, timestamp=timestamp, body=body)
        done = subprocess.run(
            ["node", "sign.mjs"], cwd=FOREIGN, input=json.dumps([job]),
            capture_output=True, text=True, check=True,
        )
        return json.loads(done.stdout)[0]

    return sign


SIGNERS = {
    "PyPI standardwebhooks": python_standardwebhooks,
    "PyPI svix": python_svix,
    "npm standardwebhooks": javascript("standardwebhooks"),
    "npm svix": javascript("svix"),
}


def by_hand(secret, id, timestamp, body):
    """What the libraries cannot be made to sign: any bytes, any text for a time."""
    key = base64.b64decode(secret.removeprefix("whsec_") + "==")
    message = b".".join(part if isinstance(part, bytes) else str(part).encode() for part in (id, timestamp, body))
    return "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


sign = python_standardwebhooks
vectors = []


def latin1(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def add(name, expect="ok", *, signature=None, id=ID, timestamp=NOW, body=BODY, now=NOW, secrets=(SECRET,),
        signer="PyPI standardwebhooks", headers=None, status=None):
    """Adds a vector. Header values hold one byte a character."""
    body = body if isinstance(body, bytes) else body.encode()
    if signature is None:
        signature = sign(SECRET, id, timestamp, body.decode())
    if headers is None:
        headers = [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
    vectors.append(dict(
        name=name, signer=signer, now=now, secrets=list(secrets),
        headers=[[key, latin1(value)] for key, value in headers],
        body_base64=base64.b64encode(body).decode(),
        expect=expect, status=status or (200 if expect == "ok" else 400),
    ))


# Valid, by each of the libraries.
for signer, with_library in SIGNERS.items():
    for what, body in [
        ("an event", BODY),
        ("an empty body", ""),
        ("text beyond ASCII", '{"type":"batch.failed","data":{"error_message":"Grüße, 世界 🎬"}}'),
        ("16 KiB", json.dumps({"type": "x", "padding": "y" * 16_384})),
        ("line breaks and spaces", '{\r\n  "type" : "batch.expired"\n}\n'),
    ]:
        add(f"{what}, signed by {signer}", signer=signer, body=body, signature=with_library(SECRET, ID, NOW, body))
    add(f"another secret's delivery, signed by {signer}", "signature_mismatch", signer=signer,
        signature=with_library(FOREIGN_SECRET, ID, NOW, BODY))

RAW = b"\xff\xfe\x00 not text"
add("a body that is no text", body=RAW, signature=by_hand(SECRET, ID, NOW, RAW), signer="Python hmac")
add("header names in other cases", headers=[
    ("Webhook-Id", ID), ("WEBHOOK-TIMESTAMP", NOW), ("webhook-Signature", sign(SECRET, ID, NOW, BODY))])
for id in ["a", "x" * 256, "msg.abc", "msg.1a", "1700000000", "~!@#$%^&*()_+,"]:
    add(f"an id of {len(id)}: {id[:12]}", id=id)

# The window.
for off, expect in [(-300, "ok"), (300, "ok"), (-301, "timestamp_too_old"), (301, "timestamp_too_new"),
                    (-86_400, "timestamp_too_old"), (86_400, "timestamp_too_new")]:
    add(f"sent at {off:+} s", expect, timestamp=NOW + off)
add("sent in 1970", "timestamp_too_old", timestamp=0, signature=by_hand(SECRET, ID, 0, BODY), signer="Python hmac")
for far in [2**31, 2**63 - 1, 2**63, 2**64 - 1]:
    add(f"sent at {far}", "timestamp_too_new", timestamp=far, signature=by_hand(SECRET, ID, far, BODY), signer="Python hmac")

# Rotation: the sender signs with both, the receiver has one or both.
both = sign(SECRET, ID, NOW, BODY) + " " + sign(OLD, ID, NOW, BODY)
add("both signatures, the new secret", signature=both)
add("both signatures, the old secret", signature=both, secrets=[OLD])
add("both signatures, both secrets", signature=both, secrets=[OLD, SECRET])
add("the old signature, both secrets", signature=sign(OLD, ID, NOW, BODY), secrets=[SECRET, OLD])
add("the old signature, the new secret", "signature_mismatch", signature=sign(OLD, ID, NOW, BODY))
add("both signatures, another secret", "signature_mismatch", signature=both, secrets=[FOREIGN_SECRET])

# Lists.
good = sign(SECRET, ID, NOW, BODY)
bad = sign(FOREIGN_SECRET, ID, NOW, BODY)
digest = base64.b64decode(good.removeprefix("v1,"))
for name, signature, expect in [
    ("unknown versions before it", "v2,AAAA v1a," + "A" * 86 + "== " + good, "ok"),
    ("unknown versions after it", good + " v1a,AAAA vX", "ok"),
    ("malformed ones beside it", "v1 v1, v1,%%%% ,v1 , " + good, "ok"),
    ("bytes beyond ASCII beside it", "v1,é ".encode() + good.encode(), "ok"),
    ("a tab in another entry", "v1,\tx " + good, "ok"),
    ("a wrong one before it", bad + " " + good, "ok"),
    ("the same twice", good + " " + good, "ok"),
    ("spaces around it", "  " + good + "   ", "ok"),
    ("16 entries, the last is good", " ".join([bad] * 15 + [good]), "ok"),
    ("17 entries", " ".join([bad] * 16 + [good]), "invalid_signature_header"),
    ("17 entries of an unknown version", " ".join(["v2,AAAA"] * 16 + [good]), "invalid_signature_header"),
    ("4096 bytes", good + " v2," + "A" * (4096 - len(good) - 4), "ok"),
    ("4097 bytes", good + " v2," + "A" * (4097 - len(good) - 4), "invalid_signature_header"),
    ("nothing", "", "invalid_signature_header"),
    ("only spaces", "   ", "invalid_signature_header"),
    ("an empty signature", "v1,", "unsupported_scheme"),
    ("no version", good.removeprefix("v1,"), "unsupported_scheme"),
    ("a version in capitals", good.replace("v1", "V1"), "unsupported_scheme"),
    ("a version with a longer name", good.replace("v1,", "v11,"), "unsupported_scheme"),
    ("the prefix of another version", good.replace("v1,", "v1a,"), "unsupported_scheme"),
    ("a dot for the comma", good.replace(",", "."), "unsupported_scheme"),
    ("a tab for the space", bad + "\t" + good, "unsupported_scheme"),
    ("a token", "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJ0eXBlIjoiYmF0Y2guc3VjY2VlZGVkIn0.c2lnbmF0dXJl", "unsupported_scheme"),
    ("without its padding", good.rstrip("="), "unsupported_scheme"),
    ("more padding", good + "=", "unsupported_scheme"),
    ("in hexadecimal", "v1," + digest.hex(), "unsupported_scheme"),
    ("31 bytes of it", "v1," + base64.b64encode(digest[:31]).decode(), "signature_mismatch"),
    ("16 bytes of it", "v1," + base64.b64encode(digest[:16]).decode(), "unsupported_scheme"),
    ("33 bytes", "v1," + base64.b64encode(digest + b"\0").decode(), "signature_mismatch"),
    ("wrong", bad, "signature_mismatch"),
    ("16 wrong ones", " ".join([bad] * 16), "signature_mismatch"),
    ("44 characters that are no base64", "v1," + "%" * 44, "signature_mismatch"),
]:
    add(f"signature: {name}", expect, signature=signature)
# Canonical base64 only: this digest's text has a last character with unused bits, and + and /.
for n in range(1000):
    body = json.dumps({"type": "batch.expired", "n": n})
    text = sign(SECRET, ID, NOW, body)
    if "+" in text and "/" in text:
        break
add("signature: with + and /", body=body, signature=text)
add("signature: in the url-safe alphabet", "signature_mismatch", body=body,
    signature=text.replace("+", "-").replace("/", "_"))
last = text[-2]
alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
twisted = text[:-2] + alphabet[alphabet.index(last) + 1] + "="
assert base64.b64decode(twisted[3:]) == base64.b64decode(text[3:])
add("signature: with unused bits set", "signature_mismatch", body=body, signature=twisted)

# Tampering, each part by itself.
for what, change in [
    ("body", dict(body=BODY.replace("batches/1", "batches/2"))),
    ("body: a space more", dict(body=BODY + " ")),
    ("body: a byte less", dict(body=BODY[:-1])),
    ("body: empty", dict(body="")),
    ("body: parsed and written again", dict(body=json.dumps(json.loads(BODY)))),
    ("id", dict(id=ID + "x")),
    ("id: another case", dict(id=ID.lower())),
    ("timestamp", dict(timestamp=NOW + 1)),
]:
    add(f"tampered {what}", "signature_mismatch", signature=good, **change)
# The same signed text, cut in another place.
add("a part of the body moved into the id", "invalid_id", id=f"{ID}.{NOW}", timestamp=NOW,
    body=BODY, signature=by_hand(SECRET, ID, NOW, f"{NOW}.{BODY}"), signer="Python hmac")

# Headers that are missing, repeated or malformed; signed over what is sent, so that only the
# rule can refuse them.
lines = [("webhook-id", ID), ("webhook-timestamp", NOW), ("webhook-signature", good)]
for i, (name, value) in enumerate(lines):
    add(f"without {name}", "missing_header", headers=lines[:i] + lines[i + 1:])
    add(f"{name} twice, the same", headers=lines + [lines[i]])
    add(f"{name} three times, one differs", "conflicting_header", headers=lines + [(name, "1"), lines[i]])
    other = {"webhook-id": ID + "x", "webhook-timestamp": NOW + 1, "webhook-signature": bad}[name]
    add(f"{name} twice, the good one first", "conflicting_header", headers=lines + [(name, other)])
    add(f"{name} twice, the good one last", "conflicting_header", headers=[(name, other)] + lines)
add("no headers", "missing_header", headers=[])
for what, id in [
    ("empty", ""), ("of 257 bytes", "x" * 257), ("with a space", "msg 1"), ("with a tab", "msg\t1"),
    ("beyond ASCII", "msg_é".encode()), ("of invalid UTF-8", b"msg_\xff"),
    ("with a timestamp at its end", "msg.1700000000"), ("with digits after a dot", "msg.7"),
    ("with digits between dots", "msg.7.x"), ("with a dot first", ".7"), ("with digits at the end", "a.b.7"),
]:
    add(f"an id {what}", "invalid_id", id=id, signature=by_hand(SECRET, id, NOW, BODY), signer="Python hmac")
for what, timestamp in [
    ("empty", ""), ("with a plus", f"+{NOW}"), ("with a minus", f"-{NOW}"), ("with a leading zero", f"0{NOW}"),
    ("with a fraction", f"{NOW}.0"), ("with an exponent", "1e9"), ("in hexadecimal", hex(NOW)),
    ("with a space inside", f"1 {NOW}"), ("with a comma", "1,769,083,200"), ("in milliseconds with a unit", f"{NOW}000ms"),
    ("beyond 64 bits", "18446744073709551616"), ("of 100 digits", "9" * 100), ("as a date", "2026-01-22T12:00:00Z"),
    ("in other digits", "١٧".encode()), ("not a number", "NaN"),
]:
    add(f"a timestamp {what}", "invalid_timestamp", timestamp=timestamp,
        signature=by_hand(SECRET, ID, timestamp, BODY), signer="Python hmac")
add("a timestamp in milliseconds", "timestamp_too_new", timestamp=NOW * 1000,
    signature=by_hand(SECRET, ID, NOW * 1000, BODY), signer="Python hmac")

# Dynamic deliveries: Ed25519 (`v1a`), signed by the `cryptography` package. No key id travels with
# such a signature, so the receiver holds a set of keys.
static = vectors
vectors = []
L = 2**252 + 27742317777372353535851937790883648493
GOOGLE, SECOND, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))


KEYS = {"keys": [
    {"kty": "RSA", "kid": "not-for-us", "n": "AQAB", "e": "AQAB"},
    jwk(GOOGLE, kid="first", use="sig", alg="EdDSA"),
    jwk(SECOND, kid="second"),
]}


def raw_v1a(key, id=ID, timestamp=NOW, body=BODY):
    return key.sign(f"{id}.{timestamp}.".encode() + (body if isinstance(body, bytes) else body.encode()))


def v1a(raw):
    return "v1a," + base64.b64encode(raw).decode()


def add_v1a(name, expect="ok", *, signature=None, secrets=(), **more):
    if signature is None:
        signature = v1a(raw_v1a(GOOGLE, **{k: v for k, v in more.items() if k in ("id", "timestamp", "body")}))
    add(f"v1a: {name}", expect, signature=signature, secrets=secrets, signer="PyPI cryptography", **more)
    vectors[-1]["jwks"] = KEYS


genuine = raw_v1a(GOOGLE)
add_v1a("the first key")
add_v1a("the second key", signature=v1a(raw_v1a(SECOND)))
add_v1a("an empty body", body="")
add_v1a("a body that is no text", body=RAW)
add_v1a("16 KiB", body=json.dumps({"type": "x", "padding": "y" * 16_384}))
add_v1a("both keys' signatures", signature=v1a(raw_v1a(STRANGER)) + " " + v1a(raw_v1a(SECOND)))
add_v1a("malformed ones beside it", signature="v1a, v1a v1a,%% " + " ".join(["v1a," + "A" * 87 + "="] * 6) + " " + v1a(genuine))
add_v1a("the fourth of four", signature=" ".join([v1a(raw_v1a(STRANGER))] * 3 + [v1a(genuine)]))
add_v1a("the fifth of five", "signature_mismatch", signature=" ".join([v1a(raw_v1a(STRANGER))] * 4 + [v1a(genuine)]))
add_v1a("a stranger's key", "signature_mismatch", signature=v1a(raw_v1a(STRANGER)))
for what, change in [("body", dict(body=BODY + " ")), ("id", dict(id=ID + "x")), ("timestamp", dict(timestamp=NOW + 1))]:
    add_v1a(f"tampered {what}", "signature_mismatch", signature=v1a(genuine), **change)
add_v1a("stale", "timestamp_too_old", timestamp=NOW - 301)
S = int.from_bytes(genuine[32:], "little")
add_v1a("S + L", "signature_mismatch", signature=v1a(genuine[:32] + (S + L).to_bytes(32, "little")))
add_v1a("all zero", "signature_mismatch", signature=v1a(bytes(64)))
add_v1a("R of small order", "signature_mismatch", signature=v1a(b"\1" + bytes(31) + genuine[32:]))
add_v1a("R and S swapped", "signature_mismatch", signature=v1a(genuine[32:] + genuine[:32]))
add_v1a("without padding", "unsupported_scheme", signature=v1a(genuine).rstrip("="))
add_v1a("in the url-safe alphabet", "signature_mismatch",
        signature="v1a," + base64.urlsafe_b64encode(genuine).decode().replace("A", "-", 1))
add_v1a("63 bytes", "unsupported_scheme", signature=v1a(genuine[:63]))
add_v1a("65 bytes", "signature_mismatch", signature=v1a(genuine + bytes(1)))
add_v1a("32 bytes", "unsupported_scheme", signature=v1a(genuine[:32]))
add_v1a("as v1", "unsupported_scheme", signature=v1a(genuine).replace("v1a", "v1"))
public = base64.b64encode(GOOGLE.public_key().public_bytes_raw()).decode()
add_v1a("an HMAC under the public key", "unsupported_scheme", signature=by_hand(public, ID, NOW, BODY))
add_v1a("an HMAC under the public key, called v1a", "unsupported_scheme",
        signature=by_hand(public, ID, NOW, BODY).replace("v1,", "v1a,"))
# A receiver of both schemes: each entry stands for itself.
add_v1a("a good v1 beside a wrong v1a", secrets=[SECRET], signature=v1a(raw_v1a(STRANGER)) + " " + good)
add_v1a("a wrong v1 beside a good v1a", secrets=[SECRET], signature=bad + " " + v1a(genuine))
add_v1a("both wrong", "signature_mismatch", secrets=[SECRET], signature=bad + " " + v1a(raw_v1a(STRANGER)))
dynamic, vectors = vectors, []

# Dynamic deliveries in the form of Google's guide: an RS256 JWT, signed by PyJWT. The event is the
# token's payload, and nothing else is signed.


RSA, RSA_NEXT, RSA_STRANGER = (rsa_key(name) for name in ("google", "next", "stranger"))
WEAK = rsa_key("weak", 1024)
# `cryptography` makes ECDSA keys of a number; its signatures are random, so this one is stored.
EC = ec.derive_private_key(7, ec.SECP256R1())
TOKEN_KEYS = {"keys": [
    jwk(GOOGLE, kid="ed", use="sig", alg="EdDSA"),
    rsa_jwk(RSA, "rsa-1", use="sig", alg="RS256"),
    rsa_jwk(RSA_NEXT, "rsa-2"),
    rsa_jwk(WEAK, "weak", use="sig"),
    rsa_jwk(RSA_STRANGER, "for-encryption", use="enc"),
    rsa_jwk(RSA_STRANGER, "rs512", alg="RS512"),
    rsa_jwk(RSA_STRANGER, "twice"),
    rsa_jwk(RSA, "twice"),
    dict(kty="EC", crv="P-256", kid="ec", x=number(EC.public_key().public_numbers().x),
         y=number(EC.public_key().public_numbers().y)),
    dict(kty="oct", kid="oct", k=base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")),
    dict(kty="of tomorrow", kid="tomorrow"),
]}
AUDIENCE = "https://example.com/gemini-webhook-dynamic"
EVENT = json.loads(BODY)
CLAIMS = dict(EVENT, aud=AUDIENCE, iat=NOW, exp=NOW + 3600, jti="token-1")


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(claims=CLAIMS, key=RSA, kid="rsa-1", alg="RS256", **headers):
    """By PyJWT, over these very bytes."""
    payload = claims if isinstance(claims, bytes) else compact(claims)
    return jwt.api_jws.encode(payload, key, algorithm=alg, headers=dict(kid=kid, **headers) if kid else headers)


def add_jwt(name, expect="ok", *, claims=CLAIMS, signature=None, body=b"", audiences=(AUDIENCE,), secrets=(), **more):
    payload = claims if isinstance(claims, bytes) else compact(claims)
    signature = token(claims) if signature is None else signature
    add(f"jwt: {name}", expect, signature=signature, body=body, secrets=secrets, signer="PyPI PyJWT", **more)
    vectors[-1] |= dict(audiences=list(audiences), payload_base64=base64.b64encode(payload).decode())


def without(claim):
    return {name: value for name, value in CLAIMS.items() if name != claim}


add_jwt("an event")
add_jwt("under the second key", signature=token(key=RSA_NEXT, kid="rsa-2"))
add_jwt("under one of two keys of a name", signature=token(kid="twice"))
add_jwt("the event as the body too", body=compact(EVENT))
add_jwt("the event as the body, written otherwise", body=json.dumps(EVENT, indent=2, sort_keys=True))
add_jwt("all claims as the body", body=compact(CLAIMS))
add_jwt("text beyond ASCII", claims=dict(CLAIMS, data={"error_message": "Grüße, 世界 🎬"}))
add_jwt("an event that fills 8 KiB", claims=dict(CLAIMS, padding="y" * 8192))
add_jwt("a header that fills 16 KiB", "invalid_signature_header", claims=dict(CLAIMS, padding="y" * 12_000))
add_jwt("several audiences", claims=dict(CLAIMS, aud=["https://elsewhere.example", AUDIENCE]))
add_jwt("another of two audiences", audiences=["first", AUDIENCE])
add_jwt("no jti", claims=without("jti"))
add_jwt("no iat", claims=without("iat"))
add_jwt("nbf", claims=dict(CLAIMS, nbf=NOW - 5))
add_jwt("keys of its own are not looked at", signature=token(
    jku="https://attacker.example/jwks.json", x5u="https://attacker.example/x5u", x5c=["AAAA"],
    jwk=rsa_jwk(RSA_STRANGER, "rsa-1")))
add_jwt("another type", signature=token(typ="secevent+jwt"))
# The same token under another id and another time: it verifies, as neither is signed, and is known
# for a repeat by its `jti`.
add_jwt("another id and time", id="msg_another", timestamp=NOW - 120)

add_jwt("no audience", "wrong_audience", claims=without("aud"))
add_jwt("another audience", "wrong_audience", claims=dict(CLAIMS, aud="https://elsewhere.example"))
add_jwt("an audience within another", "wrong_audience", claims=dict(CLAIMS, aud=AUDIENCE + "/"))
add_jwt("no exp", "invalid_token", claims=without("exp"))
add_jwt("exp as text", "invalid_token", claims=dict(CLAIMS, exp=str(NOW + 60)))
add_jwt("expired", "timestamp_too_old", claims=dict(CLAIMS, exp=NOW - 301))
add_jwt("just expired, within the tolerance", claims=dict(CLAIMS, exp=NOW - 300))
add_jwt("issued long ago", "timestamp_too_old", claims=dict(CLAIMS, iat=NOW - 301))
add_jwt("issued in the future", "timestamp_too_new", claims=dict(CLAIMS, iat=NOW + 301))
add_jwt("not yet valid", "timestamp_too_new", claims=dict(CLAIMS, nbf=NOW + 301))
add_jwt("no iat and two days", "invalid_token", claims=dict(without("iat"), exp=NOW + 2 * 86_400))
add_jwt("a list for claims", "invalid_token", claims=b"[1]")
add_jwt("no JSON for claims", "invalid_token", claims=b"\xff{}")

good_token = token()
head, payload, mark = good_token.split(".")
for name, signature, expect in [
    ("a stranger's key under a known kid", token(key=RSA_STRANGER), "signature_mismatch"),
    ("the kid of another key", token(kid="rsa-2"), "signature_mismatch"),
    ("an unknown kid", token(kid="rsa-9"), "unknown_key"),
    ("no kid", token(kid=None), "invalid_token"),
    ("a kid that is no text", b64(b'{"alg":"RS256","kid":7}') + f".{payload}.{mark}", "invalid_token"),
    ("a key of 1024 bits", token(key=WEAK, kid="weak"), "unknown_key"),
    ("a key for encryption", token(key=RSA_STRANGER, kid="for-encryption"), "unknown_key"),
    ("a key for RS512", token(key=RSA_STRANGER, kid="rs512"), "unknown_key"),
    ("the kid of an Ed25519 key", token(kid="ed"), "unknown_key"),
    ("alg none", jwt.api_jws.encode(compact(CLAIMS), None, algorithm="none", headers=dict(kid="rsa-1")), "invalid_token"),
    ("alg none, with a signature", b64(b'{"alg":"none","kid":"rsa-1"}') + f".{payload}.{mark}", "invalid_token"),
    ("alg None", b64(b'{"alg":"None","kid":"rsa-1"}') + f".{payload}.", "invalid_token"),
    ("RS512", token(alg="RS512"), "invalid_token"),
    ("PS256", "eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYS0xIn0" + f".{payload}.{mark}", "invalid_token"),
    ("ES256 by its key", "eyJhbGciOiJFUzI1NiIsImtpZCI6ImVjIn0" + f".{payload}.{b64(bytes(range(64)))}", "invalid_token"),
    ("EdDSA by a published key", token(key=GOOGLE, kid="ed", alg="EdDSA"), "invalid_token"),
    ("two algs", b64(b'{"alg":"RS256","alg":"none","kid":"rsa-1"}') + f".{payload}.{mark}", "invalid_token"),
    ("a critical extension", token(crit=["exp"]), "invalid_token"),
    ("no critical extension, but the word", token(crit=[]), "invalid_token"),
    ("another payload", f"{head}.{b64(compact(dict(CLAIMS, type='batch.failed')))}.{mark}", "signature_mismatch"),
    ("another header", b64(b'{"kid":"rsa-1","alg":"RS256"}') + f".{payload}.{mark}", "signature_mismatch"),
    ("cut in the signature", good_token[:-22], "signature_mismatch"),
    ("cut in the payload", good_token[:200], "invalid_token"),
    ("cut in the header", good_token[:10], "invalid_token"),
    ("no signature", f"{head}.{payload}.", "signature_mismatch"),
    ("a dot at the end", good_token + ".", "invalid_token"),
    ("a dot in between", f"{head}..{payload}.{mark}", "invalid_token"),
    ("five parts", f"{head}.{payload}.{mark}.{payload}.{mark}", "invalid_token"),
    ("padding", good_token + "==", "invalid_token"),
    ("the standard alphabet", f"{head}.{payload}.{mark.replace('-', '+').replace('_', '/')}", "invalid_token"),
    ("as v1", "v1," + good_token, "unsupported_scheme"),
    ("behind a good prefix", "v1a," + good_token, "unsupported_scheme"),
    ("nothing but a header", head + "..", "signature_mismatch"),
    ("deep JSON for a header", "eyJh" + b64(b"[" * 6000) + f".{payload}.{mark}", "invalid_token"),
]:
    add_jwt(name, expect, signature=signature)
pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
modulus = RSA.public_key().public_numbers().n.to_bytes(256, "big")
for what, key in [("PEM", pem), ("modulus", modulus)]:
    message = b64(b'{"alg":"HS256","kid":"rsa-1"}') + "." + payload
    forged = message + "." + b64(hmac.new(key, message.encode(), hashlib.sha256).digest())
    add_jwt(f"HS256 under the public key's {what}", "invalid_token", signature=forged)
    message = head + "." + payload
    forged = message + "." + b64(hmac.new(key, message.encode(), hashlib.sha256).digest())
    add_jwt(f"HS256 under the public key's {what}, called RS256", "signature_mismatch", signature=forged)

for name, body in [
    ("a body that differs", compact(dict(EVENT, type="batch.failed"))),
    ("a body that differs deep inside", compact(dict(EVENT, data=dict(EVENT["data"], id="batches/2")))),
    ("a body that has more", compact(dict(EVENT, more=None))),
    ("a body that repeats a name", compact(EVENT)[:-1] + b',"type":"batch.succeeded"}'),
    ("a body that repeats a name deep inside", compact(EVENT).replace(b'"id":', b'"id":"batches/1","id":')),
    ("a body that is no object", b"[]"),
    ("a body that is no JSON", b"hello"),
]:
    add_jwt(name, "body_mismatch", body=body)

add_jwt("the form is off", "unsupported_scheme", audiences=[])
add_jwt("stale headers", "timestamp_too_old", timestamp=NOW - 301)
# Each entry stands for itself.
add_jwt("a second token that is good", signature=token(key=RSA_STRANGER) + " " + good_token)
add_jwt("four tokens that are not", "signature_mismatch", signature=" ".join([token(key=RSA_STRANGER)] * 4 + [good_token]))
add_jwt("beside a wrong v1a", signature=v1a(raw_v1a(STRANGER, body="")) + " " + good_token)
add_jwt("beside a wrong v1", secrets=[SECRET], signature=bad + " " + good_token)
tokens, vectors = vectors, static

# The official verifiers agree about what is valid, tampered with, stale or foreign.
judged = 0
for vector in vectors:
    official = vector["signer"].startswith(("PyPI", "npm"))
    if not official or vector["expect"] not in ("ok", "signature_mismatch", "timestamp_too_old", "timestamp_too_new"):
        continue
    # They read headers from a dict of text, and stop at an entry without a comma, so the lists
    # that only a lenient reader takes are not theirs to judge.
    if vector["name"].startswith("signature: ") or len(vector["headers"]) != 3:
        continue
    for verify in (
        lambda secret, *delivery: standardwebhooks.Webhook(secret).verify(*delivery, json_parse=False),
        lambda secret, *delivery: svix.Webhook(secret).verify(*delivery),
    ):
        with freeze_time(at(vector["now"])):
            accepted = False
            for secret in vector["secrets"]:
                headers = {key.lower(): value for key, value in vector["headers"]}
                try:
                    verify(secret, base64.b64decode(vector["body_base64"]), headers)
                    accepted = True
                except (standardwebhooks.WebhookVerificationError, svix.WebhookVerificationError):
                    pass
        assert accepted == (vector["expect"] == "ok"), (vector["name"], accepted)
        judged += 1

# So does PyJWT of tokens, under the key that they name, but for the rules that are ours alone.
OURS = ("issued long ago", "no iat and two days", "no critical extension", "keys of its own")
for vector in tokens:
    entries = dict(map(tuple, vector["headers"]))["webhook-signature"].split(" ")
    by_signature = vector["expect"] in ("ok", "signature_mismatch", "wrong_audience", "timestamp_too_old", "timestamp_too_new")
    if len(entries) > 1 or not by_signature or not vector["audiences"] or vector["name"].removeprefix("jwt: ").startswith(OURS):
        continue
    accepted = False
    kid = jwt.get_unverified_header(entries[0])["kid"]
    for key in TOKEN_KEYS["keys"]:
        if key.get("kid") == kid and vector["name"] != "jwt: stale headers":
            with freeze_time(at(vector["now"])):
                try:
                    jwt.decode(entries[0], jwt.PyJWK(key, "RS256").key, algorithms=["RS256"],
                               audience=vector["audiences"], leeway=300, options=dict(require=["exp", "aud"]))
                    accepted = True
                except jwt.InvalidTokenError:
                    pass
    # PyJWT takes `exp` and the leeway together for the first second that is too late.
    if vector["name"] != "jwt: just expired, within the tolerance":
        assert accepted == (vector["expect"] == "ok"), (vector["name"], accepted)
        judged += 1

lock = json.loads((HERE / "package-lock.json").read_text())["packages"]
made = {
    "made_by": "tests/vectors/make.py",
    "libraries": {
        **{f"PyPI {name}": importlib.metadata.version(name) for name in ("standardwebhooks", "svix")},
        **{f"npm {name}": lock[f"node_modules/{name}"]["version"] for name in ("standardwebhooks", "svix")},
    },
    "vectors": vectors,
}
assert len({vector["name"] for vector in vectors}) == len(vectors), "names are unique"
(HERE / "v1.json").write_text(json.dumps(made, indent=1) + "\n")
made["libraries"] = {"PyPI cryptography": importlib.metadata.version("cryptography")}
(HERE / "v1a.json").write_text(json.dumps({**made, "vectors": dynamic}, indent=1) + "\n")
made["libraries"] = {"PyPI PyJWT": importlib.metadata.version("pyjwt")}
made["jwks"] = TOKEN_KEYS
(HERE / "jwt.json").write_text(json.dumps({**made, "vectors": tokens}, indent=1) + "\n")
print(f"{len(vectors)} vectors of v1, {len(dynamic)} of v1a, {len(tokens)} of tokens; "
      f"{judged} verdicts of the official verifiers agree")
