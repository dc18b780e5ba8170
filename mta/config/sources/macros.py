"""Reads the file of Exim macros that users of the Exim image mount. Common macros take effect, others are notices.

Lines have the form `NAME = value`. Of Exim's string expansions only `${if exists{F}{F}{0}}` is supported.
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
# The values of these macros that change the smarthost's connection.
_CHANGES: Mapping[str, tuple[str, ...]] = {PROTOCOL: ("smtps",), REQUIRE_TLS: ("*",), VERIFY_HOSTS: (":", "")}
# Their values that change nothing.
_NO_CHANGE: Mapping[str, tuple[str, ...]] = {PROTOCOL: ("smtp",), REQUIRE_TLS: (":", ""), VERIFY_HOSTS: ("*",)}
_ANY_LENGTH = "IGNORE_SMTP_LINE_LENGTH_LIMIT"
_INSTEAD: Mapping[str, str] = {
    "AUTH_CLIENT_ALLOW_NOTLS_PASSWORDS": "SMARTHOST_TLS=opportunistic permits a password in clear",
    "DKIM_DOMAIN": "the domain of From: is the signing domain",
    "DKIM_FILE": "set DKIM_KEY_PATH to the key",
    "MAIN_LOCAL_DOMAINS": "set OTHER_HOSTNAMES to the local domains",
    "MAIN_RELAY_NETS": "set RELAY_NETWORKS to the clients that may send anywhere",
    "MAIN_RELAY_TO_DOMAINS": "set RELAY_DOMAINS to the domains that anyone may send to",
    "MAIN_TLS_CERTIFICATE": "set CERTIFICATE_PATH to the certificate",
    "MAIN_TLS_PRIVATEKEY": "set KEY_PATH to the certificate's key",
}


@dataclass(frozen=True, slots=True)
class Macros:
    """The macros of a file that take effect, and a notice for each line that has no effect."""

    #: Values by the names of settings.
    texts: Mapping[str, str] = field(default_factory=dict)
    #: Those of PROTOCOL, REQUIRE_TLS and VERIFY_HOSTS that change the smarthost's connection.
    changes: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()
    #: The path of the file; "" if there is none.
    path: str = ""


def parse_macros(text: str, path: str) -> Macros:
    """Read the text of a macros file. `path` is for the notices."""
    defined: dict[str, str] = {}
    texts: dict[str, str] = {}
    changes: set[str] = set()
    unused: dict[int, str] = {}
    for number, line, conditional in _lines(text):
        match = None if conditional else _DEFINITION.fullmatch(line)
        if match is None:
            unused[number] = _about_a_line(line)
            continue
        name, value = match[1], _expand(match[2].strip(), defined)
        defined[name] = value
        if wrong := _take(name, value, texts, changes):
            unused[number] = f"{name} has no effect: {wrong}"
    if table.DKIM_KEY_PATH.name in texts:
        unused = {number: words for number, words in unused.items() if not words.startswith("DKIM_FILE ")}
    notices = [shorten(f"{path}:{number}: {words}", 400) for number, words in unused.items()]
    if len(notices) > _MAX_NOTICES:
        notices[_MAX_NOTICES:] = [f"{path}: {len(notices) - _MAX_NOTICES} more lines have no effect"]
    return Macros(texts, frozenset(changes), tuple(notices), path)


def _lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the number and the content of each line, and whether it depends on a condition."""
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
    """Return a notice with the first word of a line only, because the rest may be a secret."""
    word = _WORD.match(line)
    return f"{word[0] if word else 'this line'} has no effect: Exim's configuration is not used"


def _expand(value: str, defined: Mapping[str, str]) -> str:
    """Replace `${if exists{F}{F}{0}}` by F, or by the value of the macro F."""
    match = _IF_EXISTS.fullmatch(value)
    return defined.get(match[1], match[1]) if match else value


def _take(name: str, value: str, texts: dict[str, str], changes: set[str]) -> str:
    """Apply a macro, or return the reason why it has no effect."""
    if name == _ANY_LENGTH:
        texts[table.LINE_LENGTH_LIMIT.name] = "0"
    elif name in _CHANGES:
        changes.discard(name)
        if value in _CHANGES[name]:
            changes.add(name)
        elif value not in _NO_CHANGE[name]:
            return (
                "only the values "
                + " and ".join(filter(None, (_CHANGES[name][0], _NO_CHANGE[name][0])))
                + " are supported"
            )
    elif name in _SETTINGS:
        return _take_text(_SETTINGS[name], value, texts)
    else:
        return _INSTEAD.get(name, "Exim's configuration is not used")
    return ""


def _take_text(setting: Setting[Any], value: str, texts: dict[str, str]) -> str:
    if "$" in value:
        return f"Exim's expansions are not supported; set {setting.name} to the value itself"
    try:
        setting.value_type.read(value or setting.default)
    except ValueError as error:
        return str(error)
    texts[setting.name] = value
    return ""
