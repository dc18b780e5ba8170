"""The settings as an operator reads them: what is in force, what it amounts to, where it came from and what it does."""

import difflib
import time
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from textwrap import wrap

from mta.config.details import DETAILS
from mta.config.inforce import InForce
from mta.config.setting import FILE_SUFFIX, Setting, SettingsError, Source
from mta.config.settings import Settings, read_settings
from mta.config.table import MACROS_FILE, SETTINGS
from mta.config.understanding import understanding
from mta.ops.filecheck import check_files

__all__ = [
    "SettingsError",
    "check_settings",
    "explain_settings",
    "markdown_table",
    "names_and_default",
    "show_settings",
]

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_SOURCES = {
    Source.ENVIRONMENT: "from the environment",
    Source.FILE: f"from the file that {{name}}{FILE_SUFFIX} names",
    Source.MACROS: f"from the macros in {MACROS_FILE.name}",
}
_WIDTH = 100
_INDENT = "    "


def show_settings(environ: Mapping[str, str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the settings in force as lines `NAME = value`, secrets masked; and the notices. Raises SettingsError."""
    settings = read_settings(environ)
    return [str(each) for each in settings.in_force], settings.notices


def check_settings(environ: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a start would log: the lines that say what was understood; and the notices.

    The files that settings name are read, too. Raises SettingsError with what would end a start.
    """
    settings = read_settings(environ)
    return understanding(settings), (*settings.notices, *check_files(settings, time.time()))


def explain_settings(environ: Mapping[str, str], names: Sequence[str] = ()) -> Iterator[str]:
    """Yield lines about these settings, or about all: value, origin, what it does. Secrets are masked.

    Raises KeyError for a name that is none, its argument being words for an operator; and SettingsError.
    """
    wanted = [_named(name) for name in names] or list(_BY_NAME)
    return _explanations(read_settings(environ), wanted)


def _explanations(settings: Settings, wanted: Sequence[str]) -> Iterator[str]:
    in_force = {each.name: each for each in settings.in_force}
    for number, name in enumerate(dict.fromkeys(wanted)):
        if number:
            yield ""
        yield from _explanation(_BY_NAME[name], in_force[name])


def _explanation(setting: Setting[object], now: InForce) -> Iterator[str]:
    default = names_and_default(setting)[1]
    yield str(now)
    if now.source is Source.DEFAULT:
        yield f"{_INDENT}not set; the default is {default}"
    else:
        yield f"{_INDENT}{_SOURCES[now.source].format(name=setting.name)}; the default is {default}"
    for text in (setting.help, DETAILS.get(setting.name, "")):
        yield from wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)
    yield f"{_INDENT}example: {setting.name}={quote(setting.example)}"


def _named(name: str) -> str:
    """Return the name of the setting that is meant; `_FILE` may stand behind a secret's."""
    upper = name.upper()
    plain = upper.removesuffix(FILE_SUFFIX)
    if upper in _BY_NAME:
        return upper
    if plain in _BY_NAME and _BY_NAME[plain].secret:
        return plain
    close = difflib.get_close_matches(upper, _BY_NAME, n=1)
    raise KeyError(f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else ""))


def markdown_table() -> str:
    """Return the settings as the table of the README."""
    rows = ["| variable | default | what it does |", "|---|---|---|", *map(_row, SETTINGS)]
    return "\n".join(rows) + "\n"


def _row(setting: Setting[object]) -> str:
    names, default = names_and_default(setting)
    return f"| {names} | {default} | {setting.help} |"


def names_and_default(setting: Setting[object]) -> tuple[str, str]:
    """Return, in Markdown, the variables by which a setting is set, and what it is when it is not."""
    names = f"`{setting.name}`" + (f", `{setting.name}{FILE_SUFFIX}`" if setting.secret else "")
    return names, setting.default_meaning or (f"`{setting.default}`" if setting.default else "none")
