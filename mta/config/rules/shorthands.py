"""Reads all rules: those of the files in RULES_DIR, and behind them those that variables stand for."""

import errno
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mta.config import table
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource, read_directory
from mta.config.rules.rule_reader import read_book
from mta.config.rules.table import USUAL_DIRECTORY, VARIABLES
from mta.config.rules.toml_tables import KeyParts, TableEntry, TomlTable
from mta.config.setting import Setting, SettingsReader, cannot_read
from mta.file_states import FileRecord, FileStates
from mta.rules.book import RuleBook
from mta.rules.rewriting.actions import read_set_from

_NULL_SENDER = "<>"
# Readings of all files, and the seconds between two, until none has changed meanwhile.
_ATTEMPTS = 20
_PAUSE = 0.05


def read_rules(
    reader: SettingsReader, root: Path = Path("/"), pause: Callable[[float], object] = time.sleep
) -> tuple[RuleBook | None, FileStates]:
    """Return all rules, None if there are none, and the files they were read from.

    Mistakes and notices are added to those of the settings. The usual directory of rules is looked for below `root`.
    Files that change while they are read are read again, after some time that `pause` waits, so that the rules are
    those of one moment.
    """
    for _ in range(_ATTEMPTS):
        with _no_collections():
            attempt = _OneReading(reader, root)
        if attempt.is_of_one_moment:
            break
        pause(_PAUSE)
    else:
        attempt.tell("the files of rules keep changing while they are read")
    for setting in (table.RULES_DIR, *VARIABLES):
        if words := attempt.mistakes.of_variables.get(setting.name):
            reader.mistake(setting, words)
    for line in attempt.mistakes.lines:
        reader.file_mistake(line)
    for notice in attempt.mistakes.notices:
        reader.notice(notice)
    return None if attempt.mistakes else attempt.book, attempt.files


@contextmanager
def _no_collections() -> Iterator[None]:
    """Put off the collection of garbage, which would look at all objects again and again while more are made."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _OneReading:
    """The rules, mistakes and notices of one reading of all files."""

    def __init__(self, reader: SettingsReader, root: Path) -> None:
        self._chosen = reader.get(table.RULES_DIR)
        self._directory = self._chosen or root / USUAL_DIRECTORY
        self.mistakes = RuleMistakes()
        record = FileRecord()
        self.book = read_book([*self._sources(record), *_shorthands(reader)], self.mistakes, reader.variable, record)
        #: The files that were read.
        self.files = record.states
        #: Whether no file has changed since it was read.
        self.is_of_one_moment = self.files.look() == self.files

    def tell(self, words: str) -> None:
        """Add a mistake about the directory of rules."""
        if self._chosen is None:
            self.mistakes.add(str(self._directory), 0, words)
        else:
            self.mistakes.add_variable(table.RULES_DIR.name, words)

    def _sources(self, record: FileRecord) -> list[RuleSource]:
        try:
            sources, notices = read_directory(self._directory, self.mistakes, record)
        except OSError as error:
            if self._chosen is not None or error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                self.tell(cannot_read("directory", error))
            return []
        self.mistakes.notices += notices
        if self._chosen is not None and not sources and not self.mistakes:
            self.mistakes.notices.append(
                f"{table.RULES_DIR.name}={self._chosen} has no effect: the directory has no files of rules, *.toml"
            )
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
