"""Reads all rules: those of the files in RULES_DIR, and behind them those that variables stand for."""

import errno
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mta.config import table
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource, read_directory
from mta.config.rules.rule_reader import read_book
from mta.config.rules.table import USUAL_DIRECTORY, VARIABLES
from mta.config.rules.toml_tables import KeyParts, TableEntry, TomlTable
from mta.config.setting import Setting, SettingsReader
from mta.rules.book import RuleBook
from mta.rules.rewriting.actions import read_set_from

_NULL_SENDER = "<>"


def read_rules(reader: SettingsReader, root: Path = Path("/")) -> RuleBook | None:
    """Return all rules, or None if there are none. Mistakes and notices are added to those of the settings.

    The usual directory of rules is looked for below `root`.
    """
    mistakes = RuleMistakes()
    sources = [*_files(reader, root, mistakes), *_shorthands(reader)]
    book = read_book(sources, mistakes, reader.variable)
    for notice in mistakes.notices:
        reader.notice(notice)
    for setting in VARIABLES:
        if words := mistakes.of_variables.get(setting.name):
            reader.mistake(setting, words)
    for line in mistakes.lines:
        reader.file_mistake(line)
    return book


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
        # The mail of other clients for other recipients is redirected.
        strangers: dict[KeyParts, object] = {("client",): "stranger"} if reader.get(table.REDIRECT_TO) else {}
        yield _rule(
            table.ALLOWED_RECIPIENTS,
            {
                **strangers,
                ("unless", "recipient"): list(recipients),
                ("deny",): "this relay takes no mail for this recipient address",
            },
        )
    yield from _rewriting(reader)
    if rates := reader.get(table.SEND_RATE):
        yield _rule(table.SEND_RATE, {("rate",): list(rates)}, "transport")


def _rewriting(reader: SettingsReader) -> Iterator[RuleSource]:
    """Yield the rewrite rules. A copy comes behind the redirection, which would take its recipient away."""
    if domains := reader.get(table.MASQUERADE_DOMAINS):
        lines = [f"*@*.{domain} -> *@{domain}" for domain in domains]
        yield _rule(table.MASQUERADE_DOMAINS, {("map",): lines}, "rewrite")
    if author := reader.get(table.FORCE_SENDER):
        address = str(read_set_from(author).replacement)
        values: dict[KeyParts, object] = {
            ("set", "sender"): address,
            ("set", "from"): author,
            ("set", "reply_to"): "from",
        }
        yield _rule(table.FORCE_SENDER, values, "rewrite")
    if redirect := reader.get(table.REDIRECT_TO):
        allowed = reader.get(table.ALLOWED_RECIPIENTS)
        exceptions: dict[KeyParts, object] = {("unless", "recipient"): list(allowed)} if allowed else {}
        yield _rule(table.REDIRECT_TO, {**exceptions, ("set", "recipient"): list(redirect)}, "rewrite")
    if copy := reader.get(table.BCC_TO):
        yield _rule(table.BCC_TO, {("bcc",): copy}, "rewrite")
    if reader.get(table.HIDE_CLIENTS):
        yield _rule(table.HIDE_CLIENTS, {("hide",): "client"}, "rewrite")


def _rule(setting: Setting[Any], values: Mapping[KeyParts, object], stage: str = "acl") -> RuleSource:
    entries = {key: TableEntry(key, value, 0, "") for key, value in values.items()}
    text = repr(list(values.items()))
    return RuleSource(setting.name, setting.name, [TomlTable((stage,), is_array=True, line=0, entries=entries)], text)
