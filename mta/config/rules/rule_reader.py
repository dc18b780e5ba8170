"""Makes the rule book of the tables in all files of rules, and collects every mistake in them."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mta.config.rules.keys.key import SMARTHOST, STAGES, KeyRole
from mta.config.rules.keys.table import LISTS, find_key
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.pattern_items import PatternItems
from mta.config.rules.rule_files import MAX_LIST_ENTRIES, RuleSource
from mta.config.rules.rule_values import RuleValueError, ValueReader, placed_items, shown
from mta.config.rules.rule_words import other_table, setting_words, unknown_key
from mta.config.rules.stages.acl import AclStage
from mta.config.rules.stages.retry import RetryStage
from mta.config.rules.stages.rewrite import RewriteStage
from mta.config.rules.stages.router import RouterStage
from mta.config.rules.stages.secrets import RuleSecrets
from mta.config.rules.stages.shadowing import EarlierRules
from mta.config.rules.stages.smarthosts import Smarthosts
from mta.config.rules.stages.stage import OpenRule, StageReader
from mta.config.rules.stages.transport import TransportStage
from mta.config.rules.toml_tables import TableEntry, TomlTable
from mta.config.setting import shorten
from mta.file_states import FileRecord
from mta.rules.book import RuleBook
from mta.rules.conditions import ClientCondition, Condition, LoginCondition, OverCondition, Rule, RulePlace
from mta.smtp.address import is_deceptive

#: The rules of all files together.
MAX_RULES = 2000
_MAX_NAME = 100
_DIGEST_DIGITS, _RULE_DIGITS = 8, 16
# The stage whose rules count mail beside those with `over`.
_COUNTING = "transport"


def read_book(
    sources: Sequence[RuleSource],
    mistakes: RuleMistakes,
    variable: Callable[[str], str] = lambda _name: "",
    record: FileRecord | None = None,
) -> RuleBook | None:
    """Return the rules of these sources in order, or None if there are no rules or mistakes.

    `variable` returns the text of an environment variable, which may be the password of a smarthost. `record` notes
    each file that rules name before it is read.
    """
    reader = _BookReader(mistakes, variable, record or FileRecord())
    for source in sources:
        reader.read_named(source)
    for source in sources:
        reader.read_rules(source)
    if mistakes or not any(stage.rules for stage in reader.stages.values()):
        return None
    made = {name: stage.made() for name, stage in reader.stages.items()}
    digest = _digest(sources, reader.items, reader.secrets)
    return RuleBook(**made, digest=digest, secret_variables=tuple(reader.secrets.variables))


def _digest(sources: Sequence[RuleSource], items: PatternItems, secrets: RuleSecrets) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.path}\0{source.text}\0".encode(errors="surrogateescape"))
    for path, entries in sorted(items.files.items()):
        digest.update("\n".join([path, *(text for text, _ in entries), ""]).encode(errors="surrogateescape"))
    digest.update(secrets.digest(digest.digest()))
    return digest.hexdigest()[:_DIGEST_DIGITS]


class _BookReader:
    def __init__(self, mistakes: RuleMistakes, variable: Callable[[str], str], record: FileRecord) -> None:
        self._mistakes = mistakes
        self.items = PatternItems(mistakes, record)
        self.secrets = RuleSecrets(variable, record)
        self._smarthosts = Smarthosts(self.items, self.secrets)
        #: By their names, which are those of the fields of RuleBook.
        self.stages: dict[str, StageReader] = {
            "acl": AclStage(),
            "rewrite": RewriteStage(),
            "router": RouterStage(self._smarthosts, self.secrets),
            "transport": TransportStage(),
            "retry": RetryStage(),
        }
        self._count = 0
        self._earlier = {stage: EarlierRules() for stage in self.stages}
        #: The rules by which others can never apply, and that have been told.
        self._told: set[Rule] = set()

    def read_named(self, source: RuleSource) -> None:
        """Read the tables [lists] and [smarthost.NAME], which rules of other files may name."""
        self._read_lists(source)
        for table in source.tables:
            if table.name[:1] == (SMARTHOST,):
                self._smarthosts.read(source, table)

    def _read_lists(self, source: RuleSource) -> None:
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
                self.items.named[name] = placed_items(
                    source.path, entry, lambda: f'an array of texts, {name} = ["a.test"]'
                )
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
            elif table.name != (LISTS,) and table.name[0] != SMARTHOST and not (table.damaged and table.name == ("",)):
                self._tell(source, table.line, other_table(table))

    def _read_top(self, source: RuleSource, table: TomlTable) -> None:
        for entry in table.entries.values():
            words = setting_words(entry) or f"{entry.name} stands before the first table; a rule begins with [[acl]]"
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
        self._count += 1
        if self._count <= MAX_RULES:
            self._read_rule(source, table)
        elif self._count == MAX_RULES + 1:
            self._tell(source, table.line, f"there are more than {MAX_RULES} rules; name many addresses by a list")

    def _read_rule(self, source: RuleSource, table: TomlTable) -> None:
        stage = table.name[0]
        found = _RuleParts(self.stages[stage].open_rule())
        complete = not table.damaged
        told_before = self.items.told
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
            self._finish(source, table, found, whole=self.items.told == told_before)

    def _finish(self, source: RuleSource, table: TomlTable, found: "_RuleParts", *, whole: bool) -> None:
        """Add a rule to its stage. It is compared with others unless patterns of it were left out."""
        where = RulePlace(source.name, table.line)
        stage = table.name[0]
        digest = _text_digest(table) if stage == _COUNTING else ""
        rule = Rule(where, found.name, _identified(found.conditions, table), tuple(found.exceptions), digest)
        try:
            found.actions.finish(rule)
        except RuleValueError as error:
            self._tell(source, table.line, str(error))
            return
        if not whole:
            return
        # The stage may have added a condition.
        rule = self.stages[stage].rules[-1].rule
        self._check_reached(source, table, self._earlier[stage].that_shadow(rule))
        if found.actions.ends_search and (stage != "rewrite" or _asks_for_client_only(rule)):
            self._earlier[stage].add(rule)

    def _check_reached(self, source: RuleSource, table: TomlTable, others: Sequence[Rule]) -> None:
        """Tell of a rule that can never apply because of others. The first one for the same reason is enough."""
        if not others or self._told.issuperset(others):
            return
        self._told.update(others)
        here = source.name
        places = [f"line {one.where.line}" if one.where.file == here else str(one.where) for one in others]
        if len(others) > 1:
            why = f"those in {' and '.join(places)} apply whenever it does"
        elif others[0].always_applies:
            why = f"the one in {places[0]} has no condition"
        else:
            why = f"the one in {places[0]} applies whenever it does"
        self._tell(source, table.line, f"this rule can never apply: {why}")

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
            raise RuleValueError(unknown_key(stage, entry))
        try:
            if key.role is KeyRole.LABEL:
                self.name = _name(entry.value)
            elif key.role is KeyRole.CONDITION:
                (self.exceptions if negated else self.conditions).append(values.condition(key, entry))
            else:
                self.actions.add(key, entry, values)
        except RuleValueError as error:
            raise RuleValueError(f"{entry.name}: {error}") from None


def _identified(conditions: Iterable[Condition], table: TomlTable) -> tuple[Condition, ...]:
    """Return conditions of which those that count mail know the text of their rule, apart from its name."""
    return tuple(
        replace(each, rule=_text_digest(table)) if isinstance(each, OverCondition) else each for each in conditions
    )


def _text_digest(table: TomlTable) -> str:
    text = repr([(entry.key, entry.value) for entry in table.entries.values() if entry.name != "name"])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_RULE_DIGITS]


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME or is_deceptive(value):
        raise RuleValueError(f'{shown(value)} is no text of 1 to {_MAX_NAME} printable characters, name = "staff"')
    return value


def _asks_for_client_only(rule: Rule) -> bool:
    """Whether a rewrite rule asks for nothing that other rewrite rules change.

    Any other one may be passed over, although it would apply to the message as it is when a later rule is asked.
    """
    return all(isinstance(one, ClientCondition | LoginCondition) for one in rule.all_conditions)
