"""The actions of `[[acl]]` rules, and the words of their replies."""

import re
from dataclasses import dataclass

from mta.smtp.address import is_deceptive
from mta.smtp.replies import MAX_REPLY_LINE, Reply, reply

_MAX_WORDS = MAX_REPLY_LINE - 32
_CODE = re.compile(r"([245][0-5][0-9])(?: |$)")
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")
# RFC 5321 section 3.8: 421 announces that the connection is closed.
_CLOSING = 421


@dataclass(frozen=True, slots=True)
class Accept:
    """`accept = true`: the recipient or message is taken, and no further rule is asked."""

    def __str__(self) -> str:
        """Return the action for the operator."""
        return "accept"


@dataclass(frozen=True, slots=True)
class Deny:
    """`deny`: refused for good."""

    reply: Reply

    def __str__(self) -> str:
        """Return the action for the operator."""
        return f"deny {self.reply}"


@dataclass(frozen=True, slots=True)
class Defer:
    """`defer`: refused for now."""

    reply: Reply

    def __str__(self) -> str:
        """Return the action for the operator."""
        return f"defer {self.reply}"


@dataclass(frozen=True, slots=True)
class Hold:
    """`hold = true`: the message is taken and held until the operator releases it."""

    def __str__(self) -> str:
        """Return the action for the operator."""
        return "hold"


Action = Accept | Deny | Defer | Hold


def read_deny(words: str) -> Deny:
    """Return the action of `deny = "words"`. A code and status may come first. Raises ValueError."""
    return Deny(_read_reply(words, 550, "5.7.1"))


def read_defer(words: str) -> Defer:
    """Return the action of `defer = "words"`. A code and status may come first. Raises ValueError."""
    return Defer(_read_reply(words, 451, "4.7.1"))


def _read_reply(words: str, code: int, status: str) -> Reply:
    kind = code // 100
    text = words.strip()
    if found := _CODE.match(text):
        code, text = int(found[1]), text[found.end() :].lstrip()
        if code // 100 != kind or code == _CLOSING:
            fitting = "a deny has 5yz, a defer 4yz" if code != _CLOSING else "a rule does not close the connection"
            raise ValueError(f"{code} does not fit: {fitting}")
    if found := _STATUS.match(text):
        status, text = found[1], text[found.end() :].lstrip()
        if int(status[0]) != kind:
            raise ValueError(f"{status} does not fit {code}: it begins with {kind}.")
    if not text:
        raise ValueError("the words of the reply are missing")
    if len(text) > _MAX_WORDS or not text.isascii() or is_deceptive(text):
        raise ValueError(f"the words of a reply are up to {_MAX_WORDS} printable ASCII characters (RFC 5321)")
    return reply(code, status, text)
