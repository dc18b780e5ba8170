"""The parts of SCRAM-SHA-256 that both sides share (RFC 5802, RFC 7677): secrets, signatures and the text of messages.

A secret is stored in the form of Dovecot: `{SCRAM-SHA-256}iterations,salt,stored key,server key`.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from mta.smtp.sasl.saslprep import prepared

#: The names of the mechanism without and with channel binding.
NAME, PLUS_NAME = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
MECHANISMS = frozenset((NAME, PLUS_NAME))
#: The least number of iterations that RFC 7677 section 4 allows, which is also that of new secrets.
MIN_ITERATIONS = 4096
#: The greatest number of iterations that is accepted: a higher one would let the other side use up the processor.
MAX_ITERATIONS = 1_000_000
#: The octets of a SHA-256 digest, and of both keys.
KEY_OCTETS = 32

_PREFIX = "{SCRAM-SHA-256}"
# With a longer one the challenge of a server would not fit a reply line (RFC 5321 section 4.5.3.1.5).
_MAX_SALT_OCTETS = 128
_NUMBER = re.compile(r"[1-9][0-9]{0,6}")
# RFC 5802 section 7: value-safe-char is any character but NUL, "=" and ",".
_ESCAPE = re.compile(r"=(2C|3D)|=")


class ScramError(ValueError):
    """A text is not of the form that SCRAM demands; the message contains no secret."""


@dataclass(frozen=True, slots=True)
class ScramSecret:
    """The secret that a server stores for a user. It checks a password, but does not contain it."""

    salt: bytes = field(repr=False)
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def derive(password: str, salt: bytes, iterations: int = MIN_ITERATIONS) -> ScramSecret:
    """Return the secret of a password. Takes about a millisecond for 4,096 iterations."""
    salted = salted_password(password, salt, iterations)
    stored_key = hashlib.sha256(signature(salted, b"Client Key")).digest()
    return ScramSecret(salt, iterations, stored_key, signature(salted, b"Server Key"))


def salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    """Return SaltedPassword of RFC 5802 section 3, from which both keys are made."""
    return hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, iterations)


def signature(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA-256 of a message."""
    return hmac.digest(key, message, "sha256")


def exclusive_or(one: bytes, other: bytes) -> bytes:
    """Return the exclusive or of two texts of the same length."""
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def parse_secret(text: str) -> ScramSecret:
    """Parse a stored secret, with or without its prefix. Raises ScramError."""
    if text[: len(_PREFIX)].upper() == _PREFIX:
        text = text[len(_PREFIX) :]
    fields = text.split(",")
    if len(fields) != 4:
        raise ScramError("it must be iterations,salt,stored key,server key")
    iterations = parse_iterations(fields[0])
    salt, stored_key, server_key = map(decode, fields[1:])
    if not 0 < len(salt) <= _MAX_SALT_OCTETS:
        raise ScramError("its salt is empty or too long")
    if len(stored_key) != KEY_OCTETS or len(server_key) != KEY_OCTETS:
        raise ScramError(f"its keys must have {KEY_OCTETS} octets")
    return ScramSecret(salt, iterations, stored_key, server_key)


def format_secret(secret: ScramSecret) -> str:
    """Return a secret in the form in which it is stored, with the prefix."""
    fields = (str(secret.iterations), *map(encode, (secret.salt, secret.stored_key, secret.server_key)))
    return _PREFIX + ",".join(fields)


def parse_iterations(text: str) -> int:
    """Parse a number of iterations. Raises ScramError if it is not a number within the bounds."""
    if _NUMBER.fullmatch(text) is None or not MIN_ITERATIONS <= int(text) <= MAX_ITERATIONS:
        raise ScramError(f"the number of iterations must be from {MIN_ITERATIONS} to {MAX_ITERATIONS}")
    return int(text)


def encode(octets: bytes) -> str:
    """Return octets in base64."""
    return base64.b64encode(octets).decode("ascii")


def decode(text: str) -> bytes:
    """Return the octets of a text in base64, without line breaks and with its padding. Raises ScramError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ScramError("a field is not base64") from None


def escape_name(user: str) -> str:
    """Return a user name as RFC 5802 section 5.1 writes it: `=2C` for a comma, and `=3D` for an equals sign."""
    return user.replace("=", "=3D").replace(",", "=2C")


def unescape_name(text: str) -> str:
    """Return the user name of a message. Raises ScramError for an equals sign that begins neither `=2C` nor `=3D`."""
    if any(match[1] is None for match in _ESCAPE.finditer(text)):
        raise ScramError("a user name has an equals sign that is not an escape")
    return text.replace("=2C", ",").replace("=3D", "=")
