"""The table of all keys of rules: their stages, value types, help and examples.

The reader, its suggestions and the reference in docs/rules.md are made from it.
"""

import difflib
from collections.abc import Iterable

from mta.config.rules.keys.acl import ACL
from mta.config.rules.keys.conditions import CONDITIONS
from mta.config.rules.keys.key import KeyRole, RuleKey
from mta.config.rules.keys.rewrite import REWRITE

#: The first part of the key of an exception: `unless.sender`.
UNLESS = "unless"
#: The table of named lists.
LISTS = "lists"
#: The beginnings of items that stand for the items of a list: `+NAME`, `file:/path`.
LIST_PREFIX = "+"
FILE_PREFIX = "file:"
#: The kinds of rules that this version supports.
SUPPORTED = ("acl", "rewrite")
_MISSPELLED = 0.6

KEYS = (*CONDITIONS, *ACL, *REWRITE)
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
