"""Reads crypt strings (crypt(5)), and bounds the work that the check of a password against one of them may take.

The bounds are about a second of one core and 256 MiB of memory, because a stranger may ask for many checks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

#: The largest costs that are read.
MAX_BCRYPT_COST = 14
MAX_SHA_ROUNDS = 1_000_000
MAX_MEMORY_OCTETS = 256 << 20

_MIN_BCRYPT_COST = 4
_MIN_SHA_ROUNDS = 1000
# The digits of the base 64 of crypt(5), by their value.
_DIGITS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}


class SecretError(ValueError):
    """The text is not a secret that the relay can check. The message has no part of it."""


@dataclass(frozen=True, slots=True)
class CryptSecret:
    """A crypt string whose cost is within the bounds. `scheme` is the name of its method."""

    scheme: str
    text: str = field(repr=False)


def read_crypt_string(text: str) -> CryptSecret:
    """Return a crypt string as a value. Raises SecretError."""
    for method in _METHODS:
        if text.startswith(method.prefixes):
            match = method.pattern.fullmatch(text)
            if match is None:
                raise SecretError(f"its {method.scheme} string is not well formed, or not complete")
            method.check(match)
            return CryptSecret(method.scheme, text)
    if text.startswith(("$1$", "$apr1$")):
        raise SecretError("its secret is an MD5 one, which is too weak: make a bcrypt one with htpasswd -B")
    raise SecretError("its secret begins with a $, but not as a method that the relay knows ($2y$, $6$, $5$, $y$, $7$)")


@dataclass(frozen=True, slots=True)
class _Method:
    """A method of crypt(5). `check` raises SecretError if the cost is out of bounds."""

    scheme: str
    prefixes: tuple[str, ...]
    pattern: re.Pattern[str]
    check: Callable[[re.Match[str]], None]


def _check_bcrypt(match: re.Match[str]) -> None:
    if not _MIN_BCRYPT_COST <= int(match[1]) <= MAX_BCRYPT_COST:
        raise SecretError(f"its bcrypt cost is {int(match[1])}: use {_MIN_BCRYPT_COST} to {MAX_BCRYPT_COST}")


def _check_sha(match: re.Match[str]) -> None:
    if match[1] is not None and not _MIN_SHA_ROUNDS <= int(match[1]) <= MAX_SHA_ROUNDS:
        raise SecretError(f"its SHA rounds are {int(match[1])}: use {_MIN_SHA_ROUNDS} to {MAX_SHA_ROUNDS}")


def _check_yescrypt(match: re.Match[str]) -> None:
    numbers = _variable_numbers(match[1])
    # After the flavour come N as a power of 2, and r. crypt_gensalt writes no further parameters.
    if len(numbers) != 3:
        raise SecretError("its yescrypt string has parameters beyond N and r, which the relay does not check")
    _check_memory("yescrypt", numbers[1] + 1, numbers[2] + 1, 1)


def _check_scrypt(match: re.Match[str]) -> None:
    _check_memory("scrypt", _VALUES[match[1]], _fixed_number(match[2]), _fixed_number(match[3]))


def _check_memory(scheme: str, power: int, block: int, lanes: int) -> None:
    """Bound the octets that are written, which are also the measure of the time: 128 r N p."""
    if power >= 32 or 128 * block * lanes << power > MAX_MEMORY_OCTETS:
        raise SecretError(f"its {scheme} cost is too high: use at most {MAX_MEMORY_OCTETS >> 20} MiB")


def _fixed_number(text: str) -> int:
    """Return a number of a `$7$` string: all digits, the lowest first."""
    return sum(_VALUES[digit] << 6 * place for place, digit in enumerate(text))


def _variable_numbers(text: str) -> list[int]:
    """Return the numbers of the parameters of a `$y$` string, each without its minimum.

    Digits below 48 are a number by themselves. The others begin a number of two or more digits, with which no cost
    would be within the bounds, except in the flavour; SecretError says so.
    """
    numbers = []
    for digit in text:
        if _VALUES[digit] >= 48:
            raise SecretError("its yescrypt cost is too high, or not one that crypt_gensalt makes")
        numbers.append(_VALUES[digit])
    return numbers


_D = "[./0-9A-Za-z]"
_METHODS = (
    _Method("bcrypt", ("$2a$", "$2b$", "$2y$"), re.compile(rf"\$2[aby]\$(\d\d)\${_D}{{53}}", re.ASCII), _check_bcrypt),
    _Method(
        "sha512-crypt",
        ("$6$",),
        re.compile(rf"\$6\$(?:rounds=(\d{{1,9}})\$)?{_D}{{0,16}}\${_D}{{86}}", re.ASCII),
        _check_sha,
    ),
    _Method(
        "sha256-crypt",
        ("$5$",),
        re.compile(rf"\$5\$(?:rounds=(\d{{1,9}})\$)?{_D}{{0,16}}\${_D}{{43}}", re.ASCII),
        _check_sha,
    ),
    _Method("yescrypt", ("$y$",), re.compile(rf"\$y\$({_D}{{1,16}})\${_D}{{0,86}}\${_D}{{43}}"), _check_yescrypt),
    _Method(
        "gost-yescrypt", ("$gy$",), re.compile(rf"\$gy\$({_D}{{1,16}})\${_D}{{0,86}}\${_D}{{43}}"), _check_yescrypt
    ),
    _Method(
        "scrypt",
        ("$7$",),
        re.compile(rf"\$7\$({_D})({_D}{{5}})({_D}{{5}}){_D}{{0,86}}\${_D}{{43}}"),
        _check_scrypt,
    ),
)
