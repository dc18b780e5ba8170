"""The settings of rules: the directory of their files, and variables that stand for the commonest rules."""

import re

from mta.config import value_types
from mta.config.rules.keys import FILE_PREFIX, LIST_PREFIX
from mta.config.setting import Setting, ValueType
from mta.rules.patterns import read_address_pattern
from mta.rules.rewriting.actions import read_bcc, read_set_from
from mta.rules.rewriting.address_map import read_replacement
from mta.smtp.address import parse_domain

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


def read_replacements(text: str) -> tuple[str, ...]:
    """Read addresses that take the place of others, separated as in RELAY_DOMAINS. Raises ValueError."""
    items = tuple(dict.fromkeys(_ITEM.findall(text)))
    for item in items:
        read_replacement(item)
    return items


def read_parent_domains(text: str) -> tuple[str, ...]:
    """Read domains, separated as in RELAY_DOMAINS. Raises ValueError."""
    return tuple(dict.fromkeys(map(parse_domain, _ITEM.findall(text))))


def read_author(text: str) -> str:
    """Return an address, `*@` with a domain, or a name and an address, after a check. Raises ValueError."""
    if text:
        read_set_from(text)
    return text


def read_copy(text: str) -> str:
    """Return the address of a copy after a check. Raises ValueError."""
    if text:
        read_bcc(text)
    return text


def read_flag(text: str) -> bool:
    """Read true or false. Raises ValueError."""
    if text.lower() in {"true", "yes", "on", "1"}:
        return True
    if text.lower() in {"", "false", "no", "off", "0"}:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


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
FORCE_SENDER = Setting(
    "FORCE_SENDER",
    ValueType(read_author),
    "",
    "The sender and the author of all mail of clients that may send anywhere. Replies go to the address that the"
    " client gave in `From`.",
    "Example Shop <noreply@example.com>",
    default_meaning="those that the client gives",
)
MASQUERADE_DOMAINS = Setting(
    "MASQUERADE_DOMAINS",
    ValueType(read_parent_domains, " : ".join),
    "",
    "Domains whose sub-domains are left out of senders and authors: `app@host1.example.com` becomes `app@example.com`.",
    "example.com",
    default_meaning="none",
)
REDIRECT_TO = Setting(
    "REDIRECT_TO",
    ValueType(read_replacements, " : ".join),
    "",
    "The addresses that get all mail of clients that may send anywhere, in place of its recipients. With"
    " `ALLOWED_RECIPIENTS`, those recipients get their mail, and only the others are replaced.",
    "dev@example.com",
    default_meaning="the recipients that the client gives",
)
BCC_TO = Setting(
    "BCC_TO",
    ValueType(read_copy),
    "",
    "The address that gets a copy of all mail of clients that may send anywhere. Its failure is logged, and never"
    " reported to the sender.",
    "archive@example.com",
    default_meaning="none",
)
HIDE_CLIENTS = Setting(
    "HIDE_CLIENTS",
    ValueType(read_flag, lambda flag: "true" if flag else ""),
    "",
    "Leaves name and address of clients that may send anywhere out of the relay's `Received` field: `true`.",
    "true",
    default_meaning="no",
)
