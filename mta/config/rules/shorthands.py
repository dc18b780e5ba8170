"""Reads all rules: those of the files in RULES_DIR, and behind them those that variables stand for."""

import errno
from collections.abc import Iterator
from pathlib import Path

from mta.config import table
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource, read_directory
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import KeyParts, TableEntry, TomlTable
from mta.config.setting import Setting, SettingsReader
from mta.rules.book import RuleBook

#: The usual directory of rules, below the root.
USUAL_DIRECTORY = "etc/smtprelay/rules.d"
_VARIABLES = (table.ALLOWED_SENDERS, table.ALLOWED_RECIPIENTS)
_NULL_SENDER = "<>"


def read_rules(reader: SettingsReader, root: Path = Path("/")) -> RuleBook | None:
    """Return all rules, or None if there are none. Mistakes and notices are added to those of the settings.

    The usual directory of rules is looked for below `root`.
    """
    mistakes = RuleMistakes()
    sources = [*_files(reader, root, mistakes), *_shorthands(reader)]
    book = read_book(sources, mistakes)
    for setting in _VARIABLES:
        if words := mistakes.of_variables.get(setting.name):
            reader.mistake(setting, words)
    for line in mistakes.lines:
        reader.file_mistake(line)
    return book


def used_directory(reader: SettingsReader, root: Path = Path("/")) -> Path | None:
    """Return the directory of rules: the one that is set, or the usual one if it is there."""
    usual = root / USUAL_DIRECTORY
    try:
        return reader.get(table.RULES_DIR) or (usual if usual.is_dir() else None)
    except OSError:
        return None


def _files(reader: SettingsReader, root: Path, mistakes: RuleMistakes) -> list[RuleSource]:
    directory = reader.get(table.RULES_DIR)
    try:
        sources, notices = read_directory(directory or root / USUAL_DIRECTORY, mistakes)
    except OSError as error:
        if directory is not None or error.errno not in {errno.ENOENT, errno.ENOTDIR}:
            reader.mistake(table.RULES_DIR, f"the directory cannot be read: {error.strerror}")
        return []
    for notice in notices:
        reader.notice(notice)
    if directory is not None and not sources and not mistakes:
        reader.notice(f"{table.RULES_DIR.name}={directory} has no effect: the directory has no files of rules, *.toml")
    return sources


def _shorthands(reader: SettingsReader) -> Iterator[RuleSource]:
    """Yield the rules that variables stand for, as the tables that a file would have."""
    senders = reader.get(table.ALLOWED_SENDERS)
    if senders:
        yield _rule(
            table.ALLOWED_SENDERS,
            {
                ("client",): "trusted",
                ("unless", "sender"): [*senders, _NULL_SENDER],
                ("deny",): "this sender address may not be used at this relay",
            },
        )
    recipients = reader.get(table.ALLOWED_RECIPIENTS)
    if recipients:
        yield _rule(
            table.ALLOWED_RECIPIENTS,
            {
                ("unless", "recipient"): list(recipients),
                ("deny",): "this relay takes no mail for this recipient address",
            },
        )


def _rule(setting: Setting[tuple[str, ...]], values: dict[KeyParts, object]) -> RuleSource:
    entries = {key: TableEntry(key, value, 0, "") for key, value in values.items()}
    text = repr(list(values.items()))
    return RuleSource(setting.name, setting.name, [TomlTable(("acl",), is_array=True, line=0, entries=entries)], text)
