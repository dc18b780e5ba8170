"""Reads the values of the settings that stand for rules. Each reader raises ValueError with words for the operator."""

import re

from mta.config.rules.keys.table import FILE_PREFIX, LIST_PREFIX
from mta.rate import read_rate
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


def read_rates(text: str) -> tuple[str, ...]:
    """Read rates, separated by `;` or commas. Raises ValueError."""
    return tuple(dict.fromkeys(str(read_rate(item)) for item in re.split("[;,]", text) if item.strip()))


def read_author(text: str) -> str:
    """Return an address, `*@` with a domain, or a name and an address, after a check. Raises ValueError."""
    read_set_from(text)
    return text


def read_copy(text: str) -> str:
    """Return the address of a copy after a check. Raises ValueError."""
    read_bcc(text)
    return text
