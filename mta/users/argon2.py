"""Reads, checks and makes argon2id secrets in the PHC format: `$argon2id$v=19$m=19456,t=2,p=1$salt$digest` (RFC 9106).

`cryptography` computes them, from its version 44 and with OpenSSL 3.2 or later. It releases the interpreter's lock.
"""

import base64
import binascii
import os
import re
from dataclasses import dataclass, field
from functools import cache

from cryptography.exceptions import UnsupportedAlgorithm

from mta.users.crypt_strings import MAX_MEMORY_OCTETS, SecretError

#: The largest costs that are read: of memory in KiB, of memory times passes, and of lanes.
MAX_MEMORY_KIB = MAX_MEMORY_OCTETS >> 10
MAX_PASSES_KIB = 1 << 20
MAX_LANES = 16

# OWASP's first recommendation (Password Storage Cheat Sheet): 19 MiB, of which many logins at a time may need one each.
_MADE = "m=19456,t=2,p=1"
_SALT_OCTETS, _DIGEST_OCTETS = 16, 32
_PHC = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Argon2Secret:
    """An argon2id secret whose cost is within the bounds. `memory` is in KiB."""

    memory: int
    passes: int
    lanes: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    text: str = field(repr=False)


def read_argon2(text: str) -> Argon2Secret:
    """Return an argon2id secret in the PHC format as a value. Raises SecretError."""
    if text.startswith(("$argon2i$", "$argon2d$")):
        raise SecretError("its secret is an argon2i or argon2d one: make an argon2id one")
    match = _PHC.fullmatch(text)
    if match is None:
        raise SecretError("its argon2id string is not well formed, or not complete")
    memory, passes, lanes = (int(match[number]) for number in (1, 2, 3))
    if not (1 <= lanes <= MAX_LANES and passes >= 1 and 8 * lanes <= memory <= MAX_MEMORY_KIB):
        raise SecretError(
            f"its argon2id cost is m={memory},t={passes},p={lanes}: use m up to {MAX_MEMORY_KIB}, p up to {MAX_LANES}"
        )
    if memory * passes > MAX_PASSES_KIB:
        raise SecretError(f"its argon2id cost is m={memory},t={passes}: use m times t up to {MAX_PASSES_KIB}")
    return Argon2Secret(memory, passes, lanes, _octets(match[4]), _octets(match[5]), text)


def derived(secret: Argon2Secret, password: bytes) -> bytes:
    """Return the digest of a password with the cost and the salt of a secret. `is_available` must be true."""
    # Imported here, because a `cryptography` before 44 does not have it.
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415  see above

    return Argon2id(
        salt=secret.salt,
        length=len(secret.digest),
        iterations=secret.passes,
        lanes=secret.lanes,
        memory_cost=secret.memory,
    ).derive(password)


def new_argon2(password: bytes) -> str:
    """Return a new secret of a password with a random salt, in the PHC format. `is_available` must be true."""
    head = f"$argon2id$v=19${_MADE}${_base64(os.urandom(_SALT_OCTETS))}"
    blank = read_argon2(f"{head}${_base64(bytes(_DIGEST_OCTETS))}")
    return f"{head}${_base64(derived(blank, password))}"


@cache
def is_available() -> bool:
    """Whether the installed `cryptography` and its OpenSSL have argon2id."""
    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415  see `derived`

        Argon2id(salt=bytes(8), length=4, iterations=1, lanes=1, memory_cost=8).derive(b"")
    except (ImportError, UnsupportedAlgorithm):
        return False
    return True


def _octets(text: str) -> bytes:
    """Decode base 64 without its padding. Raises SecretError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise SecretError("its argon2id string is not well formed, or not complete") from None


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).rstrip(b"=").decode()
