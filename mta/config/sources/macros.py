"""The file of Exim macros that people mount: what they really wrote there is honoured, every other line is named.

Lines read `NAME = value`. A value is Exim's own language; of that only one idiom is known, `${if exists{F}{F}{0}}`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mta.config import table
from mta.config.setting import Setting, shorten

_DEFINITION = re.compile(r"([A-Z][A-Za-z0-9_]*)\s*==?\s*(.*)")
_WORD = re.compile(r"[^\s=]{1,60}")
_IF_EXISTS = re.compile(r"\$\{if\s+exists\{([^{}]+)\}\s*\{\1\}\s*+(?:\{0?\}\s*+)?\}")
_MAX_NOTICES = 40

_PREFIX = "REMOTE_SMTP_SMARTHOST_"
PROTOCOL = _PREFIX + "PROTOCOL"
REQUIRE_TLS = _PREFIX + "HOSTS_REQUIRE_TLS"
VERIFY_HOSTS = _PREFIX + "TLS_VERIFY_HOSTS"

_SETTINGS: Mapping[str, Setting[Any]] = {
    "MAIN_HARDCODE_PRIMARY_HOSTNAME": table.MAILNAME,
    "MESSAGE_SIZE_LIMIT": table.MESSAGE_SIZE_LIMIT,
    "DKIM_PRIVATE_KEY": table.DKIM_KEY_PATH,
    "DKIM_SELECTOR": table.DKIM_SELECTOR,
    "DKIM_CANON": table.DKIM_CANON,
}
# The values by which each of these is honoured.
_WISHES: Mapping[str, tuple[str, ...]] = {PROTOCOL: ("smtps",), REQUIRE_TLS: ("*",), VERIFY_HOSTS: (":", "")}
# Values that ask for what we do anyway.
_AS_IT_IS: Mapping[str, tuple[str, ...]] = {PROTOCOL: ("smtp",), REQUIRE_TLS: (":", ""), VERIFY_HOSTS: ("*",)}
_ANY_LENGTH = "IGNORE_SMTP_LINE_LENGTH_LIMIT"
_INSTEAD: Mapping[str, str] = {
    "AUTH_CLIENT_ALLOW_NOTLS_PASSWORDS": "SMARTHOST_TLS=opportunistic lets the password go out in clear",
    "DKIM_DOMAIN": "the domain of From: signs",
    "DKIM_FILE": "DKIM_KEY_PATH names the key",
    "MAIN_LOCAL_DOMAINS": "OTHER_HOSTNAMES has the local domains",
    "MAIN_RELAY_NETS": "RELAY_NETWORKS has the clients that may send anywhere",
    "MAIN_RELAY_TO_DOMAINS": "RELAY_DOMAINS has the domains that anyone may send to",
    "MAIN_TLS_CERTIFICATE": "CERTIFICATE_PATH names the certificate",
    "MAIN_TLS_PRIVATEKEY": "KEY_PATH names the certificate's key",
}


@dataclass(frozen=True, slots=True)
class Macros:
    """What a macros file asks for, and a notice for each line that has no effect."""

    #: By the names of settings.
    texts: Mapping[str, str] = field(default_factory=dict)
    #: Those of PROTOCOL, REQUIRE_TLS and VERIFY_HOSTS that ask for something.
    wishes: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()
    #: Where they stand; "" when there is no file.
    path: str = ""


def parse_macros(text: str, path: str) -> Macros:
    """Read the macros in a file's text. `path` is for the notices."""
    defined: dict[str, str] = {}
    texts: dict[str, str] = {}
    wishes: set[str] = set()
    unused: dict[int, str] = {}
    for number, line, conditional in _lines(text):
        match = None if conditional else _DEFINITION.fullmatch(line)
        if match is None:
            unused[number] = _about_a_line(line)
            continue
        name, value = match[1], _expand(match[2].strip(), defined)
        defined[name] = value
        if wrong := _take(name, value, texts, wishes):
            unused[number] = f"{name} has no effect: {wrong}"
    if table.DKIM_KEY_PATH.name in texts:
        unused = {number: words for number, words in unused.items() if not words.startswith("DKIM_FILE ")}
    notices = [shorten(f"{path}:{number}: {words}", 400) for number, words in unused.items()]
    if len(notices) > _MAX_NOTICES:
        notices[_MAX_NOTICES:] = [f"{path}: {len(notices) - _MAX_NOTICES} more lines have no effect"]
    return Macros(texts, frozenset(wishes), tuple(notices), path)


def _lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield number, content and whether it hangs on a condition, of each line that says something."""
    depth = 0
    start, held = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            continue
        start = start if held else number
        if line.endswith("\\"):
            held += line[:-1]
            continue
        line, held = held + line, ""
        if line:
            depth += line.startswith(".if")
            yield start, line, depth > 0
            depth -= line.startswith(".endif") and depth > 0
    if held:
        yield start, held, depth > 0


def _about_a_line(line: str) -> str:
    """Name a line by its first word: the rest may be a secret."""
    word = _WORD.match(line)
    return f"{word[0] if word else 'this line'} has no effect: Exim's configuration is not run"


def _expand(value: str, defined: Mapping[str, str]) -> str:
    """Replace the idiom for a file that may be missing by the file's name, which may be a macro itself."""
    match = _IF_EXISTS.fullmatch(value)
    return defined.get(match[1], match[1]) if match else value


def _take(name: str, value: str, texts: dict[str, str], wishes: set[str]) -> str:
    """Honour a macro, or return why it has no effect."""
    if name == _ANY_LENGTH:
        texts[table.LINE_LENGTH_LIMIT.name] = "0"
    elif name in _WISHES:
        wishes.discard(name)
        if value in _WISHES[name]:
            wishes.add(name)
        elif value not in _AS_IT_IS[name]:
            return "of its values only " + " and ".join(filter(None, (_WISHES[name][0], _AS_IT_IS[name][0]))) + " count"
    elif name in _SETTINGS:
        return _take_text(_SETTINGS[name], value, texts)
    else:
        return _INSTEAD.get(name, "Exim's configuration is not run")
    return ""


def _take_text(setting: Setting[Any], value: str, texts: dict[str, str]) -> str:
    if "$" in value:
        return f"Exim's expansions are not run; {setting.name} takes the value as it is"
    try:
        setting.value_type.read(value or setting.default)
    except ValueError as error:
        return str(error)
    texts[setting.name] = value
    return ""
