"""Makes the rule book of the tables in all files of rules, and collects every mistake in them."""

import hashlib
from collections.abc import Sequence

from mta.config.rules.keys.key import HEADER, STAGES, KeyRole
from mta.config.rules.keys.table import (
    LATER,
    LISTS,
    SUPPORTED,
    UNLESS,
    conditions_and_actions,
    did_you_mean,
    find_key,
    stages_of_key,
)
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.pattern_items import PatternItems
from mta.config.rules.rule_files import MAX_LIST_ENTRIES, RuleSource
from mta.config.rules.rule_values import RuleValueError, ValueReader, placed_items, shown
from mta.config.rules.stages.acl import AclStage
from mta.config.rules.stages.rewrite import RewriteStage
from mta.config.rules.stages.stage import OpenRule, StageReader
from mta.config.rules.stages.transport import TransportStage
from mta.config.rules.toml_tables import TableEntry, TomlTable
from mta.config.setting import shorten
from mta.config.table import SETTINGS
from mta.rules.book import RuleBook
from mta.rules.conditions import Condition, Rule, RulePlace
from mta.smtp.address import is_deceptive

#: The rules of all files together.
MAX_RULES = 2000
_MAX_NAME = 100
_DIGEST_DIGITS = 8
_SETTING_NAMES = {setting.name for setting in SETTINGS}
_OTHER_TABLES = {
    "main": "[main] is no table of rules; named lists stand in [lists], and options are environment variables",
    "auth": "[auth] is no table of rules, and logins in rules ([smarthost.NAME]) are not supported by this version;"
    " the login is that of SMARTHOST_USER and SMARTHOST_PASSWORD",
    "smarthost": "[smarthost.NAME] is not supported by this version; the smarthost is that of SMARTHOST_ADDRESS",
}


def read_book(sources: Sequence[RuleSource], mistakes: RuleMistakes) -> RuleBook | None:
    """Return the rules of these sources in order, or None if there are no rules or mistakes."""
    reader = _BookReader(mistakes)
    for source in sources:
        reader.read_lists(source)
    for source in sources:
        reader.read_rules(source)
    if mistakes or not any(stage.rules for stage in reader.stages.values()):
        return None
    made = {name: stage.made() for name, stage in reader.stages.items()}
    return RuleBook(**made, digest=_digest(sources, reader.items))


def _digest(sources: Sequence[RuleSource], items: PatternItems) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.path}\0{source.text}\0".encode(errors="surrogateescape"))
    for path, entries in sorted(items.files.items()):
        digest.update("\n".join([path, *(text for text, _ in entries), ""]).encode(errors="surrogateescape"))
    return digest.hexdigest()[:_DIGEST_DIGITS]


class _BookReader:
    def __init__(self, mistakes: RuleMistakes) -> None:
        self._mistakes = mistakes
        self.items = PatternItems(mistakes)
        #: By their names, which are those of the fields of RuleBook.
        self.stages: dict[str, StageReader] = {
            "acl": AclStage(),
            "rewrite": RewriteStage(),
            "transport": TransportStage(),
        }
        self._count = 0
        #: For each stage, the rule that leaves no mail to those behind it, until that has been told.
        self._last: dict[str, Rule] = {}

    def read_lists(self, source: RuleSource) -> None:
        """Read the tables [lists], which rules of other files may name."""
        tables = [table for table in source.tables if table.name == (LISTS,)]
        for number, table in enumerate(tables):
            if number:
                self._tell(source, table.line, "[lists] is there twice in this file; put all lists into one table")
            if table.is_array:
                self._tell(source, table.line, "[[lists]] would be several tables; lists stand in one table, [lists]")
            for entry in table.entries.values():
                self._read_list(source, entry)

    def _read_list(self, source: RuleSource, entry: TableEntry) -> None:
        name = entry.name
        if len(entry.key) != 1:
            self._tell(source, entry.line, f"{name}: the name of a list has no dots")
        elif name in self.items.named:
            self._tell(source, entry.line, f"there is another list {name}; each has a name of its own")
        else:
            self.items.named[name] = []
            try:
                self.items.named[name] = placed_items(source.path, entry, f'an array of texts, {name} = ["a.test"]')
            except RuleValueError as error:
                self._tell(source, entry.line, f"{name}: {error}")
            if len(self.items.named[name]) > MAX_LIST_ENTRIES:
                self._tell(source, entry.line, f"{name} has more than {MAX_LIST_ENTRIES} entries; divide it")

    def read_rules(self, source: RuleSource) -> None:
        """Read the rules of a source, and tell of its other tables."""
        for table in source.tables:
            if not table.name:
                self._read_top(source, table)
            elif table.name[0] in STAGES:
                self._read_stage(source, table)
            elif table.name != (LISTS,) and not (table.damaged and table.name == ("",)):
                self._tell(source, table.line, _other_table(table))

    def _read_top(self, source: RuleSource, table: TomlTable) -> None:
        for entry in table.entries.values():
            words = _setting(entry) or f"{entry.name} stands before the first table; a rule begins with [[acl]]"
            self._tell(source, entry.line, words)

    def _read_stage(self, source: RuleSource, table: TomlTable) -> None:
        stage = table.name[0]
        if len(table.name) > 1:
            name = ".".join(table.name)
            right = f"{'.'.join(table.name[1:])}.KEY = ... in the rule itself"
            self._tell(source, table.line, f"[{name}] is no table of rules; write {shorten(right)}")
            return
        if not table.is_array:
            self._tell(source, table.line, f"[{stage}] would be one table; a rule begins with [[{stage}]]")
        if stage not in SUPPORTED:
            words = f"[[{stage}]] is not supported by this version; it has [[{']], [['.join(SUPPORTED)}]] and [{LISTS}]"
            self._tell(source, table.line, words)
            return
        self._count += 1
        if self._count <= MAX_RULES:
            self._read_rule(source, table)
        elif self._count == MAX_RULES + 1:
            self._tell(source, table.line, f"there are more than {MAX_RULES} rules; name many addresses by a list")

    def _read_rule(self, source: RuleSource, table: TomlTable) -> None:
        stage = table.name[0]
        found = _RuleParts(self.stages[stage].open_rule())
        complete = not table.damaged
        values = ValueReader(source.path, self.items)
        for entry in table.entries.values():
            try:
                found.add(stage, entry, values)
            except RuleValueError as error:
                self._tell(source, entry.line, str(error))
                complete = False
        try:
            found.actions.check(complete=complete)
        except RuleValueError as error:
            self._tell(source, table.line, str(error))
            return
        if complete:
            self._finish(source, table, found)

    def _finish(self, source: RuleSource, table: TomlTable, found: "_RuleParts") -> None:
        self._check_reached(source, table)
        where = RulePlace(source.name, table.line)
        rule = Rule(where, found.name, tuple(found.conditions), tuple(found.exceptions))
        try:
            found.actions.finish(rule)
        except RuleValueError as error:
            self._tell(source, table.line, str(error))
        if rule.always_applies and found.actions.ends_search:
            self._last[table.name[0]] = rule

    def _check_reached(self, source: RuleSource, table: TomlTable) -> None:
        """Tell of a rule that is never asked."""
        last = self._last.pop(table.name[0], None)
        if last is not None:
            place = f"line {last.where.line}" if last.where.file == source.name else str(last.where)
            self._tell(source, table.line, f"this rule can never apply: the one in {place} has no condition")

    def _tell(self, source: RuleSource, line: int, words: str) -> None:
        self.items.tell(RulePlace(source.path, line), words)


class _RuleParts:
    """The parts of one rule."""

    def __init__(self, actions: OpenRule) -> None:
        self.name = ""
        self.conditions: list[Condition] = []
        self.exceptions: list[Condition] = []
        self.actions = actions

    def add(self, stage: str, entry: TableEntry, values: ValueReader) -> None:
        """Add the part that an entry is. Raises RuleValueError."""
        key, negated = find_key(entry.key, stage)
        if key is None:
            raise RuleValueError(_unknown(stage, entry))
        try:
            if key.role is KeyRole.LABEL:
                self.name = _name(entry.value)
            elif key.role is KeyRole.CONDITION:
                (self.exceptions if negated else self.conditions).append(values.condition(key, entry))
            else:
                self.actions.add(key, entry, values)
        except RuleValueError as error:
            raise RuleValueError(f"{entry.name}: {error}") from None


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME or is_deceptive(value):
        raise RuleValueError(f'{shown(value)} is no text of 1 to {_MAX_NAME} printable characters, name = "staff"')
    return value


def _setting(entry: TableEntry) -> str:
    name = entry.key[0]
    return f"{name} is a setting, and settings are environment variables" if name.upper() in _SETTING_NAMES else ""


def _other_table(table: TomlTable) -> str:
    name = table.name[0]
    if name in _OTHER_TABLES:
        return _OTHER_TABLES[name]
    brackets = "[[{}]]" if table.is_array else "[{}]"
    shown_name = brackets.format(shorten(".".join(table.name), 60))
    return (
        f"{shown_name} is no table of rules{did_you_mean(name, (*SUPPORTED, LISTS)) or '; a rule begins with [[acl]]'}"
    )


def _unknown(stage: str, entry: TableEntry) -> str:
    """Return words for a key that is not one of the stage."""
    conditions, actions = conditions_and_actions(stage)
    name = shorten(entry.name, 60)
    if entry.key == (UNLESS,) or (entry.key[0] == UNLESS and entry.key[1:2] != (HEADER,) and len(entry.key) > 2):
        return f"{name}: unless is followed by a condition, unless.sender = ..."
    if entry.key[0] == HEADER or entry.key[:2] == (UNLESS, HEADER):
        return f"{name}: header is followed by the name of a field, header.Subject = ..."
    if entry.key[0] == UNLESS:
        return f"{name}: {shorten(entry.key[1], 60)} is no condition{did_you_mean(entry.key[1], conditions)}"
    first = entry.key[0]
    if stage in LATER.get(first, ()):
        return f"{name} is not supported by this version; remove it"
    if first == "add":
        return f"{name}: add is followed by the name of a field, add.X-Tag = ..."
    if others := stages_of_key(entry.key):
        return f"{name} belongs to [[{others[0]}]], not to [[{stage}]]"
    if first in LATER:
        return f"{name} belongs to [[{LATER[first][0]}]], not to [[{stage}]]"
    if words := _setting(entry):
        return words
    known = ["name", *(each for each in conditions if not each.startswith(HEADER)), *actions]
    hint = did_you_mean(name, known) or f"; the keys are {', '.join([*conditions, *actions])}"
    return f"{name} is no condition or action of [[{stage}]]{hint}"
