"""Words for keys and tables that no kind of rules has."""

from collections.abc import Iterable

from mta.config.rules.keys.key import HEADER, SMARTHOST, STAGES
from mta.config.rules.keys.table import (
    LISTS,
    UNLESS,
    conditions_and_actions,
    did_you_mean,
    keys_of,
    stages_of_key,
)
from mta.config.rules.toml_tables import TableEntry, TomlTable
from mta.config.setting import shorten
from mta.config.table import SETTINGS

_SETTING_NAMES = {setting.name for setting in SETTINGS}
_OTHER_TABLES = {
    "main": "[main] is no table of rules; named lists stand in [lists], and options are environment variables",
    "auth": f"[auth] is no table of rules; the login at a smarthost stands in [{SMARTHOST}.NAME]",
}
_PASSWORDS = {"password", "passwd", "pass", "passphrase", "pwd", "secret"}


def in_brackets(stage: str) -> str:
    """Return the header of a table of this kind, `[[acl]]` or `[smarthost.NAME]`."""
    return f"[{SMARTHOST}.NAME]" if stage == SMARTHOST else f"[[{stage}]]"


def no_smarthost(name: str, known: Iterable[str]) -> str:
    """Return words for the name of a smarthost that has no table."""
    return f"there is no [{SMARTHOST}.{shorten(name, 60)}]{did_you_mean(name, known)}"


def setting_words(entry: TableEntry) -> str:
    """Return words for a key that is a setting, or ""."""
    name = entry.key[0]
    return f"{name} is a setting, and settings are environment variables" if name.upper() in _SETTING_NAMES else ""


def other_table(table: TomlTable) -> str:
    """Return words for a table that is not one of rules."""
    name = table.name[0]
    if name in _OTHER_TABLES:
        return _OTHER_TABLES[name]
    brackets = "[[{}]]" if table.is_array else "[{}]"
    shown_name = brackets.format(shorten(".".join(table.name), 60))
    hint = did_you_mean(name, (*STAGES, LISTS, SMARTHOST)) or "; a rule begins with [[acl]]"
    return f"{shown_name} is no table of rules{hint}"


def unknown_key(stage: str, entry: TableEntry) -> str:
    """Return words for a key that is not one of the stage."""
    if stage == SMARTHOST:
        return _unknown_of_smarthost(entry)
    conditions, actions = conditions_and_actions(stage)
    name = shorten(entry.name, 60)
    if entry.key == (UNLESS,) or (entry.key[0] == UNLESS and entry.key[1:2] != (HEADER,) and len(entry.key) > 2):
        return f"{name}: unless is followed by a condition, unless.sender = ..."
    if entry.key[0] == HEADER or entry.key[:2] == (UNLESS, HEADER):
        return f"{name}: header is followed by the name of a field, header.Subject = ..."
    if entry.key[0] == UNLESS:
        return f"{name}: {shorten(entry.key[1], 60)} is no condition{did_you_mean(entry.key[1], conditions)}"
    first = entry.key[0]
    if first == "add":
        return f"{name}: add is followed by the name of a field, add.X-Tag = ..."
    if others := stages_of_key(entry.key):
        return f"{name} belongs to {in_brackets(others[0])}, not to [[{stage}]]"
    if words := setting_words(entry):
        return words
    known = [each for each in keys_of(stage) if not each.startswith(HEADER)]
    hint = did_you_mean(name, known) or f"; the keys are {', '.join([*conditions, *actions])}"
    return f"{name} is no condition or action of [[{stage}]]{hint}"


def _unknown_of_smarthost(entry: TableEntry) -> str:
    name, known = shorten(entry.name, 60), keys_of(SMARTHOST)
    if entry.key[0].lower() in _PASSWORDS:
        return f'{name}: a password stands in a file of its own: password_file = "/run/secrets/office"'
    if entry.key[0].lower() == "port":
        return f'{name}: a port stands behind its host, hosts = ["smtp.example.com:587"]'
    if words := setting_words(entry):
        return words
    hint = did_you_mean(name, known) or f"; the keys are {', '.join(known)}"
    return f"{name} is no key of {in_brackets(SMARTHOST)}{hint}"
