"""The secrets of users: reads them, checks passwords against them, and makes new ones.

A secret is a crypt string, an argon2id string, or one of these behind a prefix of Dovecot; with such a prefix it may
also be a SCRAM secret or a plain password. Values and errors show no part of it.
"""

import hmac
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from mta.smtp.sasl import scram
from mta.smtp.sasl.scram import ScramError, ScramSecret
from mta.users import argon2
from mta.users.argon2 import Argon2Secret
from mta.users.crypt import MAX_PASSWORD_OCTETS, libcrypt
from mta.users.crypt_strings import CryptSecret, SecretError, read_crypt_string

#: The longest password that is checked or made into a secret, in octets.
MAX_OCTETS = 1024
#: The octets of a password that bcrypt uses; it ignores the rest.
BCRYPT_OCTETS = 72

_PREFIX = re.compile(r"\{([A-Za-z0-9-]{1,20})\}")
# The beginnings of the crypt strings that a prefix allows.
_CRYPT_PREFIXES = {
    "CRYPT": "$",
    "SHA512-CRYPT": "$6$",
    "SHA256-CRYPT": "$5$",
    "BLF-CRYPT": "$2",
}
_KNOWN_PREFIXES = "{SHA512-CRYPT}, {SHA256-CRYPT}, {BLF-CRYPT}, {CRYPT}, {ARGON2ID}, {SCRAM-SHA-256} or {PLAIN}"
# The methods of `new_secret` that libcrypt makes, with their prefixes and costs. Costs of 0 are libcrypt's own.
_MADE_BY_LIBCRYPT = {"bcrypt": ("$2y$", 10), "yescrypt": ("$y$", 0), "sha512-crypt": ("$6$", 100_000)}
_SALT_OCTETS = 16

#: The methods of `new_secret`, the best first.
NEW_SCHEMES = ("argon2id", "yescrypt", "bcrypt", "sha512-crypt", "scram-sha-256")


class CheckUnavailable(Exception):
    """A password could not be checked now, right or wrong. The text is one line."""


@dataclass(frozen=True, slots=True)
class PlainSecret:
    """A password as it is."""

    password: str = field(repr=False)


PasswordSecret = CryptSecret | Argon2Secret | PlainSecret | ScramSecret


def read_secret(text: str) -> PasswordSecret:
    """Return a secret of the users' file as a value. Raises SecretError."""
    prefix = _PREFIX.match(text)
    if prefix is not None:
        return _read_prefixed(prefix[1].upper(), text[prefix.end() :])
    if text.startswith("$argon2"):
        return argon2.read_argon2(text)
    if text.startswith("$"):
        return read_crypt_string(text)
    if text.startswith("{"):
        raise SecretError(f"its secret begins with a {{, but not with one of {_KNOWN_PREFIXES}")
    raise SecretError("its secret is a plain word: write {PLAIN} before a password that is meant as it is")


def _read_prefixed(prefix: str, text: str) -> PasswordSecret:
    if prefix in _CRYPT_PREFIXES:
        if not text.startswith(_CRYPT_PREFIXES[prefix]):
            raise SecretError(f"the secret behind {{{prefix}}} does not begin with {_CRYPT_PREFIXES[prefix]}")
        return read_crypt_string(text)
    if prefix == "ARGON2ID":
        return argon2.read_argon2(text)
    if prefix == "SCRAM-SHA-256":
        try:
            return scram.parse_secret(text)
        except ScramError as error:
            raise SecretError(f"its SCRAM secret cannot be used: {error}") from None
    if prefix == "PLAIN" and text:
        return PlainSecret(text)
    # The prefix is not shown, because it may be the beginning of a password.
    raise SecretError(f"its secret is empty, or its prefix is not {_KNOWN_PREFIXES}")


def scheme_of(secret: PasswordSecret) -> str:
    """Return the name of a secret's method, as `smtprelay user list` shows it."""
    match secret:
        case CryptSecret(scheme=scheme):
            return scheme
        case Argon2Secret():
            return "argon2id"
        case PlainSecret():
            return "plain"
        case ScramSecret():
            return "scram-sha-256"


def stored_octets(secret: PasswordSecret) -> bytes:
    """Return the octets by which two secrets differ. They are as secret as the secret itself."""
    match secret:
        case CryptSecret(text=text) | Argon2Secret(text=text) | PlainSecret(password=text):
            return text.encode("utf-8", "surrogateescape")
        case ScramSecret():
            return scram.format_secret(secret).encode()


def missing_support(secret: PasswordSecret) -> str:
    """Return why this system cannot check passwords against a secret, or ""."""
    if isinstance(secret, Argon2Secret) and not argon2.is_available():
        return (
            "this system cannot check argon2id: it needs the Python package cryptography 44 or later with OpenSSL 3.2; "
            "use bcrypt, made by htpasswd -B or smtprelay user add --scheme bcrypt"
        )
    if isinstance(secret, CryptSecret):
        library = libcrypt()
        if library is None:
            return "this system cannot check crypt strings, because it has no libxcrypt: use argon2id or SCRAM secrets"
        if not library.can_check(secret.text):
            return f"the libcrypt of this system cannot check {secret.scheme}: use argon2id or bcrypt"
    return ""


def verify(secret: PasswordSecret, password: str) -> bool:
    """Whether a password is the right one. Blocks for as long as the cost of the secret demands: call it in a thread.

    Raises CheckUnavailable.
    """
    octets = password_octets(password)
    if octets is None:
        return False
    match secret:
        case CryptSecret(text=text):
            return _verify_crypt(text, octets)
        case Argon2Secret(digest=digest):
            return hmac.compare_digest(argon2.derived(secret, octets), digest)
        case PlainSecret(password=right):
            return hmac.compare_digest(octets, right.encode("utf-8", "surrogateescape"))
        case ScramSecret(salt=salt, iterations=iterations, stored_key=stored_key):
            return hmac.compare_digest(_scram_of(password, salt, iterations).stored_key, stored_key)


def password_octets(password: str) -> bytes | None:
    """Return the octets of a password, or None if no user can have it: empty, too long, or with a NUL.

    Octets that are not UTF-8 stand in the text as surrogates (PEP 383).
    """
    try:
        octets = password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    return octets if 0 < len(octets) <= MAX_OCTETS and b"\0" not in octets else None


def new_secret(scheme: str, password: str) -> str:
    """Return a new secret of a password as text for the users' file; `scheme` is one of NEW_SCHEMES.

    Blocks. Raises SecretError if the password does not suit the scheme, or if this system does not have the scheme.
    """
    octets = password_octets(password)
    if octets is None:
        raise SecretError(f"a password has 1 to {MAX_OCTETS} octets, and no NUL")
    if scheme == "scram-sha-256":
        return scram.format_secret(_scram_of(password, os.urandom(_SALT_OCTETS), scram.MIN_ITERATIONS))
    if scheme == "argon2id":
        if not argon2.is_available():
            raise SecretError("this system cannot make argon2id: it needs the Python package cryptography 44 or later")
        return argon2.new_argon2(octets)
    if scheme == "bcrypt" and len(octets) > BCRYPT_OCTETS:
        raise SecretError(f"bcrypt uses {BCRYPT_OCTETS} octets of a password, and this one has {len(octets)}")
    return _new_crypt_string(*_MADE_BY_LIBCRYPT[scheme], octets)


def default_scheme() -> str:
    """Return the best scheme for new secrets that this system has."""
    if argon2.is_available():
        return "argon2id"
    return "bcrypt" if libcrypt() is not None else "scram-sha-256"


def _scram_of(password: str, salt: bytes, iterations: int) -> ScramSecret:
    # SASLprep is defined for characters only, so octets that are not UTF-8 are replaced by U+FFFD.
    return scram.derive(password.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), salt, iterations)


def _verify_crypt(text: str, octets: bytes) -> bool:
    if len(octets) > MAX_PASSWORD_OCTETS:
        return False
    library = libcrypt()
    made = None if library is None else library.hash(octets, text)
    if made is None:
        raise CheckUnavailable("libcrypt could not check a password, perhaps because memory is short")
    return hmac.compare_digest(made.encode(), text.encode())


def _new_crypt_string(prefix: str, cost: int, octets: bytes) -> str:
    library = libcrypt()
    setting = None if library is None else library.new_setting(prefix, cost)
    if library is None or setting is None or len(octets) > MAX_PASSWORD_OCTETS:
        raise SecretError(
            "this system cannot make such a secret: it needs libxcrypt, and a password of up to 511 octets"
        )
    made = library.hash(octets, setting)
    if made is None:
        raise SecretError("libcrypt could not make the secret, perhaps because memory is short")
    return made


#: Checks a secret for support by this system: `missing_support`, or a stand-in.
Support = Callable[[PasswordSecret], str]
