"""The values that describe one key of rules: its part in a rule, its stages, the form of its value, and its help."""

import enum
from dataclasses import dataclass

#: The kinds of rules, each in tables with double brackets.
STAGES = ("acl", "rewrite", "router", "transport", "retry")
#: The first part of the name of a table of a smarthost, `[smarthost.NAME]`.
SMARTHOST = "smarthost"
#: The first part of the key of a condition on a header field: `header.Subject`.
HEADER = "header"


class KeyRole(enum.Enum):
    """The part that a key has in its rule."""

    LABEL = "label"
    CONDITION = "condition"
    ACTION = "action"
    #: A value that the rule gives to mail, besides which it has no action.
    SETTING = "setting"
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
    PER = "`client`, `login` or `sender`"
    DOMAINS = "a domain, `*@DOMAIN` or `*@*.DOMAIN`, or an array of them"
    SMARTHOSTS = "the name of a smarthost, or an array of them"
    CONNECTIONS = "1 to 100"
    MESSAGES = "1 to 10000"
    RATES = "a rate, or an array of rates that hold together"
    TLS = "`verify`, `require`, `opportunistic` or `none`"
    PORT = "1 to 65535"
    HOST_NAME = "the name of a host"
    ERRORS = "`connect`, `tls`, `login`, `dns`, a status such as `4.2.2` or `4.7.*`, or an array of them"
    SCHEDULE = "a schedule as in `RETRY_SCHEDULE`"
    WARNING = "a time, or `false`"
    SOURCES = "an IP address, or an array of an IPv4 and an IPv6 address"
    HOSTS = "a host or an array of them, each with a port or without (25)"
    SMARTHOST_NAME = "the name of a smarthost"
    MX = "`true`, or the name of a domain"
    FAILURE = "words, before which a status may stand"
    PATH = "the path of a file"
    VARIABLE = "the name of a variable"


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
