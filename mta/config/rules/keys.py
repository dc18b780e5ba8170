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
SUPPORTED = ("acl", "rewrite")
_MISSPELLED = 0.6


class KeyRole(enum.Enum):
    """The part that a key has in its rule."""

    LABEL = "label"
    CONDITION = "condition"
    ACTION = "action"
    #: A key that says more about an action.
    OPTION = "option"


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
    REPLACEMENT = "an address, or `*@DOMAIN`, which keeps the local part"
    AUTHOR = "an address, `*@DOMAIN`, which keeps the local part, or a name and an address"
    REPLY_TO = "`from`, an address, or a name and an address"
    RECIPIENTS = "an address, or an array of them; `*@DOMAIN` keeps the local part"
    MAP = "lines of a pattern, `->` and an address, or `file:/path` with such lines"
    PLACES = "an array of `sender`, `recipient`, `from`, `reply_to`, `to`, `cc`"
    FIELDS = "the name of a header field, or an array of them"
    HIDE = "`client`, `trace`, or both in an array"
    ADDRESS = "an address"


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
_REWRITE = (
    RuleKey(
        "set.sender",
        KeyRole.ACTION,
        ValueForm.REPLACEMENT,
        ("rewrite",),
        "The sender of the envelope. The null sender stays.",
        '"noreply@example.com"',
    ),
    RuleKey(
        "set.from",
        KeyRole.ACTION,
        ValueForm.AUTHOR,
        ("rewrite",),
        "The only author in `From`. The name that was there stays unless this has one. `Sender` is removed.",
        '"Example Shop <noreply@example.com>"',
    ),
    RuleKey(
        "set.reply_to",
        KeyRole.ACTION,
        ValueForm.REPLY_TO,
        ("rewrite",),
        "`Reply-To`. `from` is what `From` was before the rule changed it, unless the message has a `Reply-To`.",
        '"from"',
    ),
    RuleKey(
        "set.recipient",
        KeyRole.ACTION,
        ValueForm.RECIPIENTS,
        ("rewrite",),
        "The recipients in the place of those that `recipient` matches, of all without that condition. A field"
        " `X-Original-To` names each that was replaced.",
        '["dev@example.com"]',
    ),
    RuleKey(
        "map",
        KeyRole.ACTION,
        ValueForm.MAP,
        ("rewrite",),
        "Replaces each address in the places of `in` by the first line that matches it.",
        '["root@*.lan -> ops@example.com", "*@*.lan -> *@example.com"]',
    ),
    RuleKey(
        "in",
        KeyRole.OPTION,
        ValueForm.PLACES,
        ("rewrite",),
        "The places of `map`; without it `sender`, `from` (with `Sender`) and `reply_to`.",
        '["recipient", "to", "cc"]',
    ),
    RuleKey(
        "add.NAME",
        KeyRole.ACTION,
        ValueForm.TEXT,
        ("rewrite",),
        "Adds a header field. `{client}`, `{login}` and `{sender}` are filled in.",
        '"main"',
    ),
    RuleKey(
        "remove",
        KeyRole.ACTION,
        ValueForm.FIELDS,
        ("rewrite",),
        "Removes header fields, before `add.NAME` of the same rule. `Received`, `Return-Path` and `DKIM-Signature` can"
        " be neither removed nor added.",
        '["X-Mailer", "User-Agent"]',
    ),
    RuleKey(
        "hide",
        KeyRole.ACTION,
        ValueForm.HIDE,
        ("rewrite",),
        "`client`: the relay's own `Received` field does not name the client. `trace`: those of earlier hosts keep"
        " their number, by which loops are found, and their dates.",
        '"client"',
    ),
    RuleKey(
        "bcc",
        KeyRole.ACTION,
        ValueForm.ADDRESS,
        ("rewrite",),
        "One more recipient, whose failure is logged and never reported to the sender.",
        '"archive@example.com"',
    ),
    RuleKey("last", KeyRole.OPTION, ValueForm.TRUE, ("rewrite",), "No further `[[rewrite]]` rule is asked.", "true"),
)
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
        " enough. An `[[acl]]` rule with it is asked after the data, and cannot have `recipient`.",
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
    *_REWRITE,
)
#: The keys that belong to stages which this version does not support, and `over` and `per` of [[acl]].
LATER = {
    "over": ("acl",),
    "per": ("acl",),
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

    The rest of `header.NAME` and `add.NAME` may be any name.
    """
    negated = parts[0] == UNLESS and len(parts) > 1
    rest = parts[1:] if negated else parts
    key = _BY_NAME.get(".".join(rest)) if len(rest) <= 2 else None
    if key is None and len(rest) == 2:
        key = _BY_NAME.get(f"{rest[0]}.NAME")
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
