"""The policy of MTA-STS: the grammar of its file, and the hosts that it allows (RFC 8461 sections 3.2 and 4.1)."""

import enum
import re
from dataclasses import dataclass, field

from mta.smtp.address import MAX_DOMAIN_OCTETS, AddressError, parse_domain, printable

#: Octets of a policy file (RFC 8461 section 3.3 suggests this bound).
MAX_POLICY = 64 * 1024
#: The longest life of a policy, in seconds; a longer one counts as this (RFC 8461 section 3.2).
MAX_AGE = 31_557_600
#: Patterns of one policy, because a relay keeps thousands of policies in memory.
MAX_PATTERNS = 200

_VERSION = "STSv1"
_MAX_LINES = 1000
_MAX_SHOWN = 60
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,31}")
_SECONDS = re.compile(r"[0-9]{1,10}")


class PolicyError(ValueError):
    """The text is not a policy. The message is one line that says why."""


class StsMode(enum.Enum):
    """The modes of a policy. The values are the words of RFC 8461."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy. `mx` are host patterns in lower case; `max_age` is its life since it was fetched, in seconds."""

    mode: StsMode
    mx: tuple[str, ...]
    max_age: int
    _patterns: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the search for hosts."""
        object.__setattr__(self, "_patterns", frozenset(self.mx))

    def allows(self, host: str) -> bool:
        """Whether a pattern matches the name of an MX host. `*.x` stands for names with one label before `.x`."""
        name = host.lower().removesuffix(".")
        label, _, parent = name.partition(".")
        return name in self._patterns or (bool(label and parent) and f"*.{parent}" in self._patterns)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the policy as a file has them, without unknown fields."""
        hosts = (f"mx: {pattern}" for pattern in self.mx)
        return (f"version: {_VERSION}", f"mode: {self.mode.value}", *hosts, f"max_age: {self.max_age}")


def read_policy(octets: bytes) -> StsPolicy:
    """Return the policy in a file. Raises PolicyError.

    Of a repeated field the first counts, except `mx`. Unknown fields and empty lines are passed over. Mode `none` needs
    no `mx`.
    """
    if len(octets) > MAX_POLICY:
        raise PolicyError(f"the policy is longer than {MAX_POLICY} octets")
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PolicyError("the policy is not UTF-8") from None
    first: dict[str, str] = {}
    mx: dict[str, None] = {}
    for key, value in _fields(text):
        if key == "mx":
            mx[_pattern(value)] = None
        else:
            first.setdefault(key, value)
    if first.get("version") != _VERSION:
        raise PolicyError(f"the policy has no line 'version: {_VERSION}'")
    mode, max_age = _mode(first.get("mode")), _max_age(first.get("max_age"))
    if not mx and mode is not StsMode.NONE:
        raise PolicyError("the policy names no mx")
    if len(mx) > MAX_PATTERNS:
        raise PolicyError(f"the policy names more than {MAX_PATTERNS} mx")
    return StsPolicy(mode, tuple(mx), max_age)


def _fields(text: str) -> list[tuple[str, str]]:
    lines = [line.removesuffix("\r").rstrip(" \t") for line in text.split("\n")]
    if len(lines) > _MAX_LINES:
        raise PolicyError(f"the policy has more than {_MAX_LINES} lines")
    return [_field(number, line) for number, line in enumerate(lines, 1) if line]


def _field(number: int, line: str) -> tuple[str, str]:
    key, colon, value = line.partition(":")
    if not colon or not _KEY.fullmatch(key):
        raise PolicyError(f"line {number} of the policy is not 'name: value'")
    return key, value.lstrip(" \t")


def _mode(text: str | None) -> StsMode:
    try:
        return StsMode(text)
    except ValueError:
        modes = ", ".join(mode.value for mode in StsMode)
        raise PolicyError(f"the mode of the policy is {_shown(text)}, and must be one of {modes}") from None


def _max_age(text: str | None) -> int:
    if text is None or not _SECONDS.fullmatch(text):
        raise PolicyError(f"the max_age of the policy is {_shown(text)}, and must be a number of seconds")
    return min(int(text), MAX_AGE)


def _pattern(text: str) -> str:
    wildcard = "*." if text.startswith("*.") else ""
    name = text.removeprefix(wildcard)
    # The length comes first, because an international name is converted.
    if len(name) > MAX_DOMAIN_OCTETS or name.startswith("["):
        raise PolicyError(f"the mx {_shown(text)} of the policy is not the name of a host")
    try:
        return wildcard + parse_domain(name, loose=True)
    except AddressError:
        raise PolicyError(f"the mx {_shown(text)} of the policy is not the name of a host") from None


def _shown(text: str | None) -> str:
    """Return a value as a message may show it."""
    if not text:
        return "missing"
    return f"'{printable(text[:_MAX_SHOWN])}'" + ("..." if len(text) > _MAX_SHOWN else "")
