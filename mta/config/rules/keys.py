"""The table of all keys of rules: their stages, value types, help and examples.

The reader, its suggestions and the reference in docs/rules.md are made from it.
"""

import difflib
import enum
from collections.abc import Iterable
from dataclasses import dataclass

#: The first part of the key of an exception: `unless.sender`.
UNLESS = "unless"
#: The first part of the key of a condition on a header field: `header.Subject`.
HEADER = "header"
#: The table of named lists.
LISTS = "lists"
#: The beginnings of items that stand for the items of a list: `+NAME`, `file:/path`.
LIST_PREFIX = "+"
FILE_PREFIX = "file:"
#: The kinds of rules, each in tables with double brackets.
STAGES = ("acl", "rewrite", "router", "transport", "retry")
#: The kinds that this version supports.
SUPPORTED = ("acl",)
_MISSPELLED = 0.6


class KeyRole(enum.Enum):
    """The part that a key has in its rule."""

    LABEL = "label"
    CONDITION = "condition"
    ACTION = "action"


class ValueForm(enum.Enum):
    """The form of a value; its text describes it to an operator."""

    ADDRESSES = "an address pattern, or an array of them"
    TEXTS = "a text pattern, or an array of them"
    CLIENTS = "`trusted`, `stranger`, a network, an address or a host name, or an array of them"
    BOOLEAN = "`true` or `false`"
    SIZE = 'a size in quotes, `"10M"`'
    TEXT = "a text"
    REPLY = "the words of the reply, before which a code and a status may stand"
    TRUE = "`true`"


@dataclass(frozen=True, slots=True)
class RuleKey:
    """One key. `name` is `header.NAME` for the key of a condition on a header field."""

    name: str
    role: KeyRole
    form: ValueForm
    stages: tuple[str, ...]
    #: One line of Markdown.
    help: str
    #: A correct value, as TOML.
    example: str


_LATER_STAGES = ("rewrite", "router")
KEYS = (
    RuleKey(
        "name", KeyRole.LABEL, ValueForm.TEXT, STAGES, "Words for the rule in the log and in `explain`.", '"staff"'
    ),
    RuleKey(
        "client",
        KeyRole.CONDITION,
        ValueForm.CLIENTS,
        ("acl", *_LATER_STAGES),
        "The client: `trusted` is a client that may send anywhere, by its network or by a login, `stranger` any other.",
        '["trusted", "192.0.2.0/24"]',
    ),
    RuleKey(
        "login",
        KeyRole.CONDITION,
        ValueForm.TEXTS,
        ("acl", *_LATER_STAGES),
        "The user that has logged in. A session without a login does not match.",
        '"printer-*"',
    ),
    RuleKey(
        "helo", KeyRole.CONDITION, ValueForm.TEXTS, ("acl",), "The name that EHLO or HELO gave.", '"*.example.com"'
    ),
    RuleKey("tls", KeyRole.CONDITION, ValueForm.BOOLEAN, ("acl",), "Whether the session is encrypted.", "false"),
    RuleKey(
        "sender",
        KeyRole.CONDITION,
        ValueForm.ADDRESSES,
        ("acl", *_LATER_STAGES, "retry"),
        "The sender of the envelope (`MAIL FROM`); `<>` is the null sender.",
        '["*@example.com", "<>"]',
    ),
    RuleKey(
        "recipient",
        KeyRole.CONDITION,
        ValueForm.ADDRESSES,
        STAGES,
        "A recipient of the envelope (`RCPT TO`).",
        '"*@example.org"',
    ),
    RuleKey(
        f"{HEADER}.NAME",
        KeyRole.CONDITION,
        ValueForm.TEXTS,
        ("acl", "rewrite"),
        "A header field of this name, unfolded and decoded, its first 2,000 characters; one of several such fields is"
        " enough. The rule is asked after the data, and cannot have `recipient`.",
        '"*invoice*"',
    ),
    RuleKey(
        "larger",
        KeyRole.CONDITION,
        ValueForm.SIZE,
        ("acl",),
        "The message has more octets than this; `K`, `M` and `G` are powers of 1,024. The rule is asked after the data,"
        " or at `MAIL` if the client announces the size, and cannot have `recipient`.",
        '"10M"',
    ),
    RuleKey("accept", KeyRole.ACTION, ValueForm.TRUE, ("acl",), "No further `[[acl]]` rule is asked.", "true"),
    RuleKey(
        "deny",
        KeyRole.ACTION,
        ValueForm.REPLY,
        ("acl",),
        "Refuses the mail with these words, and 550 5.7.1 unless they begin with another code and status.",
        '"554 5.7.0 not from here"',
    ),
    RuleKey(
        "defer",
        KeyRole.ACTION,
        ValueForm.REPLY,
        ("acl",),
        "Refuses the mail for now with these words, and 451 4.7.1 unless they begin with another code and status.",
        '"try again later"',
    ),
    RuleKey(
        "hold",
        KeyRole.ACTION,
        ValueForm.TRUE,
        ("acl",),
        "Accepts the mail, and holds it in the queue until `smtprelay queue release`.",
        "true",
    ),
)
#: The keys that belong to stages which this version does not support, and `over` and `per` of [[acl]].
LATER = {
    "over": ("acl",),
    "per": ("acl",),
    **dict.fromkeys(("set", "map", "in", "add", "remove", "hide", "bcc", "last"), ("rewrite",)),
    **dict.fromkeys(("hosts", "ca_file", "mx", "discard", "fail"), ("router",)),
    "smarthost": ("router", "transport"),
    **dict.fromkeys(
        ("host", "connections", "messages_per_connection", "rate", "rate_each", "port", "source", "ipv6"),
        ("transport",),
    ),
    **dict.fromkeys(("error", "schedule", "warn_after"), ("retry",)),
}
_BY_NAME = {key.name: key for key in KEYS}


def find_key(parts: tuple[str, ...]) -> tuple[RuleKey | None, bool]:
    """Return the key that these parts are, or None, and whether it is an exception, `unless.KEY`.

    The rest of `header.NAME` may be any name.
    """
    negated = parts[0] == UNLESS and len(parts) > 1
    rest = parts[1:] if negated else parts
    if rest[0] == HEADER and len(rest) == 2:
        key = _BY_NAME.get(f"{HEADER}.NAME")
    else:
        key = _BY_NAME.get(rest[0]) if len(rest) == 1 else None
    if key and negated and key.role is not KeyRole.CONDITION:
        return None, negated
    return key, negated


def conditions_and_actions(stage: str) -> tuple[list[str], list[str]]:
    """Return the names of the conditions and of the actions of a stage."""
    of_stage = [key for key in KEYS if stage in key.stages]
    conditions = [key.name for key in of_stage if key.role is KeyRole.CONDITION]
    return conditions, [key.name for key in of_stage if key.role is KeyRole.ACTION]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean sender?`, or "" if no known name is close."""
    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=_MISSPELLED)
    return f"; did you mean {close[0]}?" if close else ""
