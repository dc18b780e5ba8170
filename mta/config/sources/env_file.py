"""Reads a file of variables as systemd reads an EnvironmentFile=; Docker's env files are a part of that but for quotes.

Docker takes quotation marks, backslashes and blanks at the end of a value as they are.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mta.config.setting import SettingsError, shorten

_MAX_OCTETS = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTINUED = re.compile(r"(?<!\\)(?:\\\\)*\\\n")
_ESCAPED = re.compile(r"\\(.)")
# Pieces in quotation marks, one behind the other, and the rest of the line.
_QUOTED = re.compile(r"""\s*(?:'([^']*)'|"((?:\\.|[^"\\])*)")""")
# Between double quotation marks systemd lets a backslash stand before all but these.
_ESCAPED_IN_QUOTES = re.compile(r'\\(["\\`$])')


def read_env_file(path: Path, environ: Mapping[str, str], tell: Callable[[str], object]) -> dict[str, str]:
    """Return the variables of a file; a name alone has its value in `environ`, as Docker has it.

    `tell` gets a line about values that Docker would read otherwise. Raises SettingsError with each line that is no
    variable, by its number. Values are not shown.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_OCTETS + 1)
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise SettingsError([f"{path}: the file cannot be read: {error.strerror}"]) from None
    except ValueError:
        raise SettingsError([f"{path}: not a file with UTF-8 text"]) from None
    if len(content) > _MAX_OCTETS:
        raise SettingsError([f"{path}: the file is longer than {_MAX_OCTETS} octets"])
    return _read(path, text, environ, tell)


def _read(path: Path, text: str, environ: Mapping[str, str], tell: Callable[[str], object]) -> dict[str, str]:
    quoted: list[str] = []
    found: dict[str, str] = {}
    mistakes: list[str] = []
    # A continued line keeps its line ends for the count.
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
        tell(
            f"{path}: {', '.join(quoted)}: read without quotation marks, as systemd does; docker --env-file keeps them"
        )
    return found


def _value(text: str) -> str:
    value, start = "", 0
    while match := _QUOTED.match(text, start):
        value += match[1] if match[1] is not None else _ESCAPED_IN_QUOTES.sub(r"\1", match[2])
        start = match.end()
    return value + _ESCAPED.sub(r"\1", text[start:].strip())
