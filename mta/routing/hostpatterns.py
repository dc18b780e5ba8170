"""Host patterns of SMARTHOST_ALIASES, which select the hosts that may be given the smarthost's password.

The syntax is Exim's: a name; `*` and an ending (`*.example.com` needs the dot, `*example.com` does not); or `^` and a
regular expression. Case does not matter.
"""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

_MAX_PATTERN_LENGTH = 200
_MAX_NAME_LENGTH = 253
_MAX_REPEATS = 3
# A character class, an escaped character, or a repetition with the bracket before it if there is one.
_TOKEN = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|(\)?)(?:[*+]|\{\d*,?\d*\})")


class PatternError(ValueError):
    """The text is not a host pattern; the message says why."""


def check_pattern(pattern: str) -> None:
    """Raise PatternError if a pattern cannot be used. Settings call this, so that `matches` never raises."""
    if not pattern or len(pattern) > _MAX_PATTERN_LENGTH:
        raise PatternError(f"a host pattern has 1 to {_MAX_PATTERN_LENGTH} characters")
    if pattern.startswith("^"):
        _check_effort(pattern)
        try:
            _compiled(pattern)
        except re.error as error:
            raise PatternError(f"{pattern!r} is not a regular expression: {error}") from None


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether a host name, or an IP address as text, matches one of the patterns, which `check_pattern` accepted."""
    host = name.lower().removesuffix(".")
    return len(host) <= _MAX_NAME_LENGTH and any(_matches(pattern, host) for pattern in patterns)


def host_address(host: str) -> str:
    """Return the canonical form of a host that is an IP address, with or without brackets; "" for a name."""
    try:
        return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return ""


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith("^"):
        return _compiled(pattern).search(host) is not None
    if pattern.startswith("*"):
        return host.endswith(pattern[1:].lower())
    return host == pattern.lower()


def _check_effort(pattern: str) -> None:
    """Raise PatternError for nested or many repetitions, which could take very long on a name from a stranger's DNS."""
    repeats = [match for match in _TOKEN.finditer(pattern) if match[1] is not None]
    if any(match[1] for match in repeats):
        raise PatternError(
            f"{pattern!r} repeats a group, which can take for ever: write it without *, + or {{}} after )"
        )
    if len(repeats) > _MAX_REPEATS:
        raise PatternError(f"{pattern!r} has more than {_MAX_REPEATS} repetitions, which can take for ever")


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
