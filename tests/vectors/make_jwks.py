"""Makes jwks.json: key sets as others write them, and who takes them.

    scripts/foreign-env && target/foreign/venv/bin/python tests/vectors/make_jwks.py

Each set has one key at most that counts, and beside it are a delivery and a token which that key
signed. `taken` says whether this crate takes the key, and `why`; it follows from RFC 7517 and the
rules of this crate, never from running it. `pyjwt` and `jose` say whether those libraries verify
the token when they fetch the set. Nothing is random, so a second run writes the same bytes.
"""

import base64
import gzip
import importlib.metadata
import io
import json
import pathlib
import subprocess
from datetime import datetime, timezone

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from freezegun import freeze_time

from keys import base64url, jwk, number, rsa_jwk, rsa_key

HERE = pathlib.Path(__file__).parent
FOREIGN = HERE.parent.parent / "target" / "foreign"

NOW = 1_769_083_200
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
AUDIENCE = "https://example.com/gemini-webhook-dynamic"
BODY = '{"type":"batch.succeeded","version":"v1","timestamp":"2026-01-22T12:00:00Z","data":{"id":"batches/1"}}'
CLAIMS = dict(json.loads(BODY), aud=AUDIENCE, iat=NOW, exp=NOW + 3600, jti="token-1")

ED = Ed25519PrivateKey.from_private_bytes(bytes([4]) * 32)
RSA, WEAK = rsa_key("google"), rsa_key("weak", 1024)
OKP_JWK, RSA_JWK = jwk(ED, kid="a"), rsa_jwk(RSA, "a")
D = base64url(bytes([1]) * 32)
ZERO_N = base64url(b"\0" + RSA.public_key().public_numbers().n.to_bytes(256, "big"))
# A point of small order, under which one signature fits many messages: y = 1.
IDENTITY = base64url(b"\1" + bytes(31))

cases = []


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def add(name, key, taken, why="", *, text=None, **changes):
    """A set of `key` with `changes`: members of these values, or `None` for none. `text`: the whole
    set, or what makes it of the usual text."""
    key = {**key, **changes}
    key = {name: value for name, value in key.items() if value is not ...}
    usual = compact({"keys": [key]})
    whole = text(usual) if callable(text) else usual if text is None else text
    cases.append((name, key["kty"] if text is None else "OKP", whole, taken, why))


both = (("Ed25519", OKP_JWK), ("RSA", RSA_JWK))
for kind, key in both:
    add(f"{kind}: as RFC 7517 has it", key, True)
    add(f"{kind}: use sig", key, True, use="sig")
    add(f"{kind}: its alg", key, True, alg="RS256" if kind == "RSA" else "EdDSA")
    says_nothing = "a serializer writes it for a field without a value"
    add(f"{kind}: use null", key, True, says_nothing, use=None)
    add(f"{kind}: alg null", key, True, says_nothing, alg=None)
    add(f"{kind}: use, alg and key_ops null", key, True, says_nothing, use=None, alg=None, key_ops=None)
    add(f"{kind}: use empty", key, True, says_nothing, use="")
    add(f"{kind}: alg empty", key, True, says_nothing, alg="")
    another = "it is for another purpose (RFC 7517, 4.2 to 4.4)"
    add(f"{kind}: use enc", key, False, another, use="enc")
    add(f"{kind}: use in capitals", key, False, "values are compared by case, and nobody writes it", use="SIG")
    add(f"{kind}: use a list", key, False, "nobody writes it", use=["sig"])
    add(f"{kind}: alg of another sort", key, False, another, alg="RS512" if kind == "RSA" else "ES256")
    add(f"{kind}: key_ops verify", key, True, key_ops=["verify"])
    add(f"{kind}: key_ops sign", key, True, "the public half of a key that WebCrypto exported", key_ops=["sign"])
    add(f"{kind}: key_ops empty", key, True, says_nothing, key_ops=[])
    add(f"{kind}: key_ops no list", key, True, "it speaks of no other purpose", key_ops="verify")
    add(f"{kind}: key_ops encrypt", key, False, another, key_ops=["encrypt"])
    add(f"{kind}: members of other kinds", key, True, x5c=[1], x5t=7, ext="yes", x5u=None, tomorrow={"a": [1]})

add("Ed25519: alg Ed25519", OKP_JWK, True, "RFC 9864", alg="Ed25519")
add("Ed25519: kid a number", OKP_JWK, True, "no key id travels with a signature", kid=7)
add("Ed25519: kid null", OKP_JWK, True, "no key id travels with a signature", kid=None)
same_bytes = "the same bytes in another spelling"
add("Ed25519: padding", OKP_JWK, True, same_bytes, x=OKP_JWK["x"] + "=")
assert set(OKP_JWK["x"]) & {"-", "_"}
add("Ed25519: standard alphabet", OKP_JWK, True, same_bytes, x=OKP_JWK["x"].replace("-", "+").replace("_", "/"))
alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
twisted = OKP_JWK["x"][:-1] + alphabet[alphabet.index(OKP_JWK["x"][-1]) + 1]
add("Ed25519: unused bits set", OKP_JWK, True, same_bytes, x=twisted)
add("Ed25519: a line break in x", OKP_JWK, False, "damaged text", x=OKP_JWK["x"][:8] + "\n" + OKP_JWK["x"][8:])
add("Ed25519: a zero in front of x", OKP_JWK, False, "32 bytes, no number (RFC 8032)", x=base64url(b"\0" + ED.public_key().public_bytes_raw()))
add("Ed25519: x too short", OKP_JWK, False, "32 bytes (RFC 8032)", x=OKP_JWK["x"][:-4])
add("Ed25519: of small order", OKP_JWK, False, "one signature would fit many messages", x=IDENTITY)
add("Ed25519: with its private half", OKP_JWK, False, "anybody may sign with it", d=D)
add("Ed25519: d null", OKP_JWK, True, says_nothing, d=None)

zeros = "Google's Firebase has served such; the number is the same"
add("RSA: a zero in front of n", RSA_JWK, True, zeros, n=ZERO_N)
add("RSA: zeros in front of e", RSA_JWK, True, zeros, e=base64url(b"\0\0\1\0\1"))
add("RSA: padding", RSA_JWK, True, same_bytes, n=RSA_JWK["n"] + "=" * (-len(RSA_JWK["n"]) % 4))
add("RSA: standard alphabet", RSA_JWK, True, same_bytes, n=RSA_JWK["n"].replace("-", "+").replace("_", "/"))
add("RSA: alg PS256", RSA_JWK, False, another, alg="PS256")
add("RSA: e a number", RSA_JWK, False, "nobody writes it", e=65537)
add("RSA: kid a number", RSA_JWK, False, "tokens name a key by a text", kid=7)
add("RSA: kid null", RSA_JWK, False, "tokens name a key", kid=None)
add("RSA: 1024 bits", rsa_jwk(WEAK, "a"), False, "RFC 7518, 3.3")
add("RSA: with its private half", RSA_JWK, False, "anybody may sign with it", d=number(RSA.private_numbers().d))

add("set: a byte order mark", OKP_JWK, True, "editors write it", text=lambda usual: "\ufeff" + usual)
add("set: white space around it", OKP_JWK, True, text=lambda usual: f"\r\n\t {usual} \n")
add("set: other members", OKP_JWK, True, text=lambda usual: usual[:-1] + ',"issuer":null}')
add("set: odd keys beside it", OKP_JWK, True, "sorts of keys may be added",
    text=lambda usual: usual.replace("[", '[null,7,"x",[],{},{"kty":"AKP"},{"kty":"oct","k":"AAAA"},', 1))
shape = "it may be anything; whoever serves it has made a mistake, and hears of it"
add("set: a bare list", OKP_JWK, False, shape, text=lambda usual: usual[8:-1])
add("set: a single key", OKP_JWK, False, shape, text=lambda usual: usual[9:-2])
add("set: keys an object", OKP_JWK, False, shape, text=lambda usual: usual.replace("[", "").replace("]", ""))
add("set: a comma at the end", OKP_JWK, False, shape, text=lambda usual: usual[:-2] + ",]}")
add("set: text after it", OKP_JWK, False, shape, text=lambda usual: usual + usual)
add("set: cut short", OKP_JWK, False, shape, text=lambda usual: usual[:-3])
add("set: in UTF-16", OKP_JWK, False, "RFC 8259, 8.1", text=lambda usual: usual.encode("utf-16"))
add("set: compressed", OKP_JWK, False, "nobody asked for it", text=lambda usual: gzip.compress(usual.encode(), mtime=0))
add("set: no keys", OKP_JWK, False, "as good as none", text='{"keys":[]}')
add("set: nothing", OKP_JWK, False, "as good as none", text="")


def sign(kind):
    """The value of `webhook-signature`, the body, and a token under the same key."""
    key, alg = (RSA, "RS256") if kind == "RSA" else (ED, "EdDSA")
    token = jwt.api_jws.encode(compact(CLAIMS).encode(), key, algorithm=alg, headers=dict(kid="a"))
    if kind == "RSA":
        return token, "", token
    raw = ED.sign(f"{ID}.{NOW}.{BODY}".encode())
    return "v1a," + base64.b64encode(raw).decode(), BODY, token


def pyjwt_takes(data, token):
    client = jwt.PyJWKClient("https://example.com/jwks.json")
    client.fetch_data = lambda: json.load(io.BytesIO(data))
    try:
        key = client.get_signing_key_from_jwt(token)
        jwt.decode(token, key, algorithms=["RS256", "EdDSA"], audience=AUDIENCE)
        return True
    except (jwt.PyJWTError, ValueError, AttributeError):
        return False


vectors = []
signed = {"OKP": sign("OKP"), "RSA": sign("RSA")}
weak = jwt.api_jws.encode(compact(CLAIMS).encode(), WEAK, algorithm="RS256", headers=dict(kid="a"))
for name, kty, text, taken, why in cases:
    signature, body, token = signed[kty] if name != "RSA: 1024 bits" else (weak, "", weak)
    data = text if isinstance(text, bytes) else text.encode()
    vector = dict(name=name, taken=taken, why=why)
    try:
        vector["set"] = data.decode()
    except UnicodeDecodeError:
        vector["set_base64"] = base64.b64encode(data).decode()
    with freeze_time(datetime.fromtimestamp(NOW, tz=timezone.utc)):
        vector["pyjwt"] = pyjwt_takes(data, token)
    vectors.append((vector, data, token, signature, body))

jobs = [dict(set_base64=base64.b64encode(data).decode(), token=token, now=NOW) for _, data, token, _, _ in vectors]
done = subprocess.run(["node", "jwks.mjs"], cwd=FOREIGN, input=json.dumps(jobs), capture_output=True, text=True, check=True)
for (vector, _, _, signature, body), accepted in zip(vectors, json.loads(done.stdout), strict=True):
    vector |= dict(jose=accepted, signature=signature, body=body)
vectors = [vector for vector, *_ in vectors]
assert len({vector["name"] for vector in vectors}) == len(vectors), "names are unique"
lock = json.loads((HERE / "package-lock.json").read_text())["packages"]
made = dict(
    made_by="tests/vectors/make_jwks.py",
    libraries={"PyPI PyJWT": importlib.metadata.version("pyjwt"), "npm jose": lock["node_modules/jose"]["version"]},
    now=NOW, id=ID, audience=AUDIENCE, vectors=vectors,
)
(HERE / "jwks.json").write_text(json.dumps(made, indent=1) + "\n")
print(f"{len(vectors)} key sets")
for vector in vectors:
    if len({vector["taken"], vector["pyjwt"], vector["jose"]}) > 1:
        print(f"  {vector['name']}: " + ", ".join(f"{who} {vector[who]}" for who in ("taken", "pyjwt", "jose")))
