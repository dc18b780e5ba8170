"""The settings of rules: the directory of their files, and variables that stand for the commonest rules."""

import re

from mta.config import value_types
from mta.config.rules.keys import FILE_PREFIX, LIST_PREFIX
from mta.config.setting import Setting, ValueType
from mta.rules.patterns import read_address_pattern

# The colons in a literal, in a quoted local part and in the path of a file separate no items.
_ITEM = re.compile(rf'{FILE_PREFIX}[^;,\s]+|(?:\[[^\]\s]*+\]|"[^"\s]*+"|[^:;,\s\["]|[\["])+')


def read_address_list(text: str) -> tuple[str, ...]:
    """Read address patterns, lists of [lists] and lists in files, separated as in RELAY_DOMAINS. Raises ValueError."""
    items = tuple(dict.fromkeys(_ITEM.findall(text)))
    for item in items:
        if item.startswith("^"):
            raise ValueError(f"{item!r}: a regular expression stands in a file of rules, sender = '^...'")
        if not item.startswith((LIST_PREFIX, FILE_PREFIX)):
            read_address_pattern(item)
    return items


_ADDRESS_LIST = ValueType(read_address_list, " : ".join)

RULES_DIR = Setting(
    "RULES_DIR",
    value_types.OPTIONAL_PATH,
    "",
    "The directory of the files of rules, `*.toml`, which are read in the order of their names.",
    "/etc/smtprelay/rules.d",
    default_meaning="`/etc/smtprelay/rules.d` if it exists",
)
ALLOWED_SENDERS = Setting(
    "ALLOWED_SENDERS",
    _ADDRESS_LIST,
    "",
    "The sender addresses that clients may use if they may send anywhere: domains, addresses, `*@*.x.org` for the"
    " sub-domains of `x.org`. All other senders are refused, except the null sender.",
    "example.com : printer@example.org",
    default_meaning="all",
)
ALLOWED_RECIPIENTS = Setting(
    "ALLOWED_RECIPIENTS",
    _ADDRESS_LIST,
    "",
    "The recipient addresses that the relay accepts mail for, written as in `ALLOWED_SENDERS`. All other recipients"
    " are refused.",
    "example.com : *@*.example.com",
    default_meaning="all",
)
