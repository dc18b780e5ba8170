"""The settings of rules: the directory of their files, and variables that stand for the commonest rules."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar, cast

from mta.config import value_types
from mta.config.setting import Setting, ValueType

T = TypeVar("T")

#: The usual directory of rules, below the root.
USUAL_DIRECTORY = "etc/smtprelay/rules.d"


def _lazily(name: str, empty: T) -> Callable[[str], T]:
    """Return a reader that returns `empty` for empty text, and otherwise uses the reader of a name.

    A relay without rules need not have the grammar of rules in memory, which takes 2 MiB (measured).
    """

    def read(text: str) -> T:
        if not text:
            return empty
        return cast("T", getattr(import_module("mta.config.rules.setting_values"), name)(text))

    return read


_NO_ITEMS: tuple[str, ...] = ()


def read_flag(text: str) -> bool:
    """Read true or false. Raises ValueError."""
    if text.lower() in {"true", "yes", "on", "1"}:
        return True
    if text.lower() in {"", "false", "no", "off", "0"}:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


_ADDRESS_LIST = ValueType(_lazily("read_address_list", _NO_ITEMS), " : ".join)

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
    ValueType(_lazily("read_author", "")),
    "",
    "The sender and the author of all mail of clients that may send anywhere. Replies go to the address that the"
    " client gave in `From`.",
    "Example Shop <noreply@example.com>",
    default_meaning="those that the client gives",
)
MASQUERADE_DOMAINS = Setting(
    "MASQUERADE_DOMAINS",
    ValueType(_lazily("read_parent_domains", _NO_ITEMS), " : ".join),
    "",
    "Domains whose sub-domains are left out of senders and authors: `app@host1.example.com` becomes `app@example.com`.",
    "example.com",
    default_meaning="none",
)
REDIRECT_TO = Setting(
    "REDIRECT_TO",
    ValueType(_lazily("read_replacements", _NO_ITEMS), " : ".join),
    "",
    "The addresses that get all mail of clients that may send anywhere, in place of its recipients. With"
    " `ALLOWED_RECIPIENTS`, those recipients get their mail, and only the others are replaced.",
    "dev@example.com",
    default_meaning="the recipients that the client gives",
)
BCC_TO = Setting(
    "BCC_TO",
    ValueType(_lazily("read_copy", "")),
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
SEND_RATE = Setting(
    "SEND_RATE",
    ValueType(_lazily("read_rates", _NO_ITEMS), "; ".join),
    "",
    "The fastest rate of all mail that leaves, to all hosts together. Mail beyond it waits in the queue.",
    "14 messages/second; 50000 recipients/day",
    default_meaning="as fast as the hosts take it",
)

#: The variables that stand for rules.
VARIABLES: tuple[Setting[Any], ...] = (
    ALLOWED_SENDERS,
    ALLOWED_RECIPIENTS,
    MASQUERADE_DOMAINS,
    FORCE_SENDER,
    REDIRECT_TO,
    BCC_TO,
    HIDE_CLIENTS,
    SEND_RATE,
)
