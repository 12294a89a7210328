"""Keys for vectors, the same every time: no secret is hidden in here."""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric import rsa


def prime(name, bits):
    counter = 0
    while True:
        digest = b"".join(hashlib.sha512(f"{name} {counter} {i}".encode()).digest() for i in range(bits // 512))
        candidate = int.from_bytes(digest, "big") | 3 << bits - 2 | 1
        counter += 1
        if candidate % 65537 != 1 and all(pow(a, candidate - 1, candidate) == 1 for a in (2, 3, 5, 7)):
            return candidate


def rsa_key(name, bits=2048):
    p, q, e = prime(name + " p", bits // 2), prime(name + " q", bits // 2), 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, p * q)
    ).private_key()


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(value):
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key, kid, **more):
    numbers = key.public_key().public_numbers()
    return dict(kty="RSA", kid=kid, n=number(numbers.n), e=number(numbers.e), **more)


def jwk(key, **more):
    return dict(kty="OKP", crv="Ed25519", x=base64url(key.public_key().public_bytes_raw()), **more)
