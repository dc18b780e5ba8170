"""Reads a file of variables as systemd reads an EnvironmentFile=.

Docker's env files have the same form, but Docker keeps quotation marks, backslashes and trailing blanks of a value.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mta.config.setting import SettingsError, shorten

_MAX_OCTETS = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTINUED = re.compile(r"(?<!\\)(?:\\\\)*\\\n")
_ESCAPED = re.compile(r"\\(.)")
# A quoted piece of a value; several may follow each other, and then the rest of the line.
_QUOTED = re.compile(r"""\s*(?:'([^']*)'|"((?:\\.|[^"\\])*)")""")
# Within double quotation marks systemd keeps a backslash before other characters than these.
_ESCAPED_IN_QUOTES = re.compile(r'\\(["\\`$])')


def read_env_file(path: Path, environ: Mapping[str, str], notice: Callable[[str], object]) -> dict[str, str]:
    """Return the variables of a file. As with Docker, a name alone gets its value from `environ`.

    `notice` gets a line about values that Docker would read otherwise. Raises SettingsError with the numbers of the
    lines that are not variables. Values are not shown.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_OCTETS + 1)
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise SettingsError([f"{path}: the file cannot be read: {error.strerror}"]) from None
    except ValueError:
        raise SettingsError([f"{path}: the file is not UTF-8 text"]) from None
    if len(content) > _MAX_OCTETS:
        raise SettingsError([f"{path}: the file is longer than {_MAX_OCTETS} octets"])
    return _read(path, text, environ, notice)


def _read(path: Path, text: str, environ: Mapping[str, str], notice: Callable[[str], object]) -> dict[str, str]:
    quoted: list[str] = []
    found: dict[str, str] = {}
    mistakes: list[str] = []
    # A continued line keeps its line ends, so that the lines are counted correctly.
    joined = _CONTINUED.sub(lambda match: match[0][:-2] + "\0", text)
    number = 1
    for line in joined.split("\n"):
        name, equals, value = line.replace("\0", "").strip().partition("=")
        name = name.rstrip()
        if name and not name.startswith(("#", ";")):
            if not _NAME.fullmatch(name):
                mistakes.append(f"{path}, line {number}: {shorten(repr(name))} is not the name of a variable")
            elif equals:
                found[name] = _value(value)
                if value.strip()[:1] in {'"', "'"}:
                    quoted.append(name)
            elif name in environ:
                found[name] = environ[name]
        number += 1 + line.count("\0")
    if mistakes:
        raise SettingsError(mistakes)
    if quoted:
        notice(
            f"{path}: {', '.join(quoted)}: read without the quotation marks, as systemd does; docker --env-file keeps"
            " them"
        )
    return found


def _value(text: str) -> str:
    value, start = "", 0
    while match := _QUOTED.match(text, start):
        value += match[1] if match[1] is not None else _ESCAPED_IN_QUOTES.sub(r"\1", match[2])
        start = match.end()
    return value + _ESCAPED.sub(r"\1", text[start:].strip())
