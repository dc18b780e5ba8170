"""The table of all keys of rules: their stages, value types, help and examples.

The reader, its suggestions and the reference in docs/rules.md are made from it.
"""

import difflib
from collections.abc import Iterable
from functools import lru_cache

from mta.config.rules.keys.acl import ACL
from mta.config.rules.keys.conditions import CONDITIONS
from mta.config.rules.keys.key import KeyRole, RuleKey
from mta.config.rules.keys.retry import RETRY
from mta.config.rules.keys.rewrite import REWRITE
from mta.config.rules.keys.router import ROUTER
from mta.config.rules.keys.transport import TRANSPORT

#: The first part of the key of an exception: `unless.sender`.
UNLESS = "unless"
#: The table of named lists.
LISTS = "lists"
#: The beginnings of items that stand for the items of a list: `+NAME`, `file:/path`.
LIST_PREFIX = "+"
FILE_PREFIX = "file:"
_MISSPELLED = 0.6

KEYS = (*CONDITIONS, *ACL, *REWRITE, *ROUTER, *TRANSPORT, *RETRY)
# A name may belong to different keys of several stages.
_BY_STAGE = {(stage, key.name): key for key in reversed(KEYS) for stage in key.stages}
_BY_NAME = {key.name: key for key in reversed(KEYS)}


@lru_cache(maxsize=1024)
def find_key(parts: tuple[str, ...], stage: str) -> tuple[RuleKey | None, bool]:
    """Return the key of a stage that these parts are, or None, and whether it is an exception, `unless.KEY`.

    The rest of `header.NAME` and `add.NAME` may be any name.
    """
    names, negated = _names(parts)
    key = next((found for name in names if (found := _BY_STAGE.get((stage, name)))), None)
    if key and negated and key.role is not KeyRole.CONDITION:
        return None, negated
    return key, negated


def stages_of_key(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stages that have a key of this name; none if no stage has one."""
    return next((found.stages for name in _names(parts)[0] if (found := _BY_NAME.get(name))), ())


def _names(parts: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """Return the names that a key of these parts may have in the table, and whether it is an exception."""
    negated = parts[0] == UNLESS and len(parts) > 1
    rest = parts[1:] if negated else parts
    if len(rest) > 2:
        return (), negated
    return (".".join(rest), *([f"{rest[0]}.NAME"] if len(rest) == 2 else [])), negated


def conditions_and_actions(stage: str) -> tuple[list[str], list[str]]:
    """Return the names of the conditions of a stage, and of its actions or settings."""
    of_stage = [key for key in KEYS if stage in key.stages]
    conditions = [key.name for key in of_stage if key.role is KeyRole.CONDITION]
    return conditions, [key.name for key in of_stage if key.role in {KeyRole.ACTION, KeyRole.SETTING}]


def keys_of(stage: str) -> list[str]:
    """Return the names of all keys of a stage."""
    return [key.name for key in KEYS if stage in key.stages]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean sender?`, or "" if no known name is close."""
    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=_MISSPELLED)
    return f"; did you mean {close[0]}?" if close else ""
