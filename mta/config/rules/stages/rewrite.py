"""Makes the actions of a `[[rewrite]]` rule of its values."""

from collections.abc import Callable
from dataclasses import replace

from mta.config.rules.keys.key import RuleKey
from mta.config.rules.keys.table import did_you_mean
from mta.config.rules.rule_values import RuleValueError, ValueReader, read_true, shown
from mta.config.rules.toml_tables import TableEntry
from mta.rules.conditions import ClientCondition, Rule
from mta.rules.rewriting.actions import (
    USUAL_PLACES,
    AddField,
    Bcc,
    Hide,
    MapAddresses,
    MapPlace,
    RemoveFields,
    RewriteAction,
    SetFrom,
    SetRecipients,
    SetReplyTo,
    SetSender,
    read_add_field,
    read_bcc,
    read_field_name,
    read_set_from,
    read_set_reply_to,
)
from mta.rules.rewriting.address_map import AddressMap, read_map_line, read_replacement
from mta.rules.rewriting.rewriting import RewriteRule, Rewriting

_CLIENT, _TRACE = "client", "trace"
# The order in which the actions of one rule are carried out. Reply-To comes behind the changes of From, which it needs.
_ORDER = (SetSender, SetFrom, MapAddresses, SetReplyTo, SetRecipients, RemoveFields, AddField, Hide, Bcc)


class RewriteStage:
    """The rules of [[rewrite]]."""

    def __init__(self) -> None:
        self.rules: list[RewriteRule] = []

    def open_rule(self) -> "OpenRewriteRule":
        """Begin a rule."""
        return OpenRewriteRule(self.rules)

    def made(self) -> Rewriting | None:
        """Return the stage, or None if it has no rules."""
        return Rewriting(self.rules) if self.rules else None


class OpenRewriteRule:
    """One rule while its entries are read."""

    def __init__(self, rules: list[RewriteRule]) -> None:
        self._rules = rules
        self._actions: dict[str, RewriteAction] = {}
        self._places: tuple[MapPlace, ...] | None = None
        self._map: AddressMap | None = None
        self._is_empty = True
        #: Whether no further rule of the stage is asked after this one.
        self.ends_search = False

    def add(self, key: RuleKey, entry: TableEntry, values: ValueReader) -> None:
        """Add an action. Parts of it that cannot be read are left out and told. Raises RuleValueError."""
        self._is_empty = False
        _READERS[key.name](self, entry, values)

    def check(self, *, complete: bool) -> None:
        """Check that the rule changes something. Raises RuleValueError."""
        if not complete:
            return
        if self._map is None and self._places is not None:
            raise RuleValueError("in belongs to a map, and this rule has none")
        if self._is_empty:
            raise RuleValueError("this rule changes nothing; set.sender, set.from, map, add.NAME and others do")

    def finish(self, rule: Rule) -> None:
        """Add the rule to the stage, with its actions in the order in which they are carried out."""
        # Without this, a rule would break the signatures of strangers.
        if not any(isinstance(one, ClientCondition) for one in rule.conditions):
            rule = replace(rule, conditions=(ClientCondition(trusted=True), *rule.conditions))
        actions = list(self._actions.values())
        if self._map is not None:
            actions.append(MapAddresses(self._map, self._places or USUAL_PLACES))
        in_order = tuple(sorted(actions, key=lambda action: _ORDER.index(type(action))))
        self._rules.append(RewriteRule(rule, in_order, self.ends_search))

    def _read_text(self, entry: TableEntry, read: Callable[[str], RewriteAction]) -> None:
        if not isinstance(entry.value, str):
            raise RuleValueError(f"{shown(entry.value)} is no text")
        try:
            self._actions[entry.name] = read(entry.value)
        except ValueError as error:
            raise RuleValueError(str(error)) from None

    def _read_sender(self, entry: TableEntry, _values: ValueReader) -> None:
        self._read_text(entry, lambda text: SetSender(read_replacement(text)))

    def _read_from(self, entry: TableEntry, _values: ValueReader) -> None:
        self._read_text(entry, read_set_from)

    def _read_reply_to(self, entry: TableEntry, _values: ValueReader) -> None:
        self._read_text(entry, read_set_reply_to)

    def _read_recipient(self, entry: TableEntry, values: ValueReader) -> None:
        self._actions[entry.name] = SetRecipients(tuple(values.items(entry, read_replacement)))

    def _read_map(self, entry: TableEntry, values: ValueReader) -> None:
        lines = values.items(entry, read_map_line)
        try:
            self._map = AddressMap(lines)
        except ValueError as error:
            raise RuleValueError(str(error)) from None

    def _read_places(self, entry: TableEntry, values: ValueReader) -> None:
        self._places = tuple(dict.fromkeys(values.items(entry, _place)))

    def _read_add(self, entry: TableEntry, _values: ValueReader) -> None:
        self._read_text(entry, lambda text: read_add_field(entry.key[-1], text))

    def _read_remove(self, entry: TableEntry, values: ValueReader) -> None:
        self._actions[entry.name] = RemoveFields(tuple(dict.fromkeys(values.items(entry, read_field_name))))

    def _read_hide(self, entry: TableEntry, values: ValueReader) -> None:
        found = values.items(entry, _hidden)
        self._actions[entry.name] = Hide(client=_CLIENT in found, trace=_TRACE in found)

    def _read_bcc(self, entry: TableEntry, _values: ValueReader) -> None:
        self._read_text(entry, read_bcc)

    def _read_last(self, entry: TableEntry, _values: ValueReader) -> None:
        read_true(entry.name, entry.value)
        self.ends_search = True


_READERS: dict[str, Callable[[OpenRewriteRule, TableEntry, ValueReader], None]] = {
    "set.sender": OpenRewriteRule._read_sender,
    "set.from": OpenRewriteRule._read_from,
    "set.reply_to": OpenRewriteRule._read_reply_to,
    "set.recipient": OpenRewriteRule._read_recipient,
    "map": OpenRewriteRule._read_map,
    "in": OpenRewriteRule._read_places,
    "add.NAME": OpenRewriteRule._read_add,
    "remove": OpenRewriteRule._read_remove,
    "hide": OpenRewriteRule._read_hide,
    "bcc": OpenRewriteRule._read_bcc,
    "last": OpenRewriteRule._read_last,
}


def _place(text: str) -> MapPlace:
    try:
        return MapPlace(text)
    except ValueError:
        places = [place.value for place in MapPlace]
        raise ValueError(f"the places are {', '.join(places)}{did_you_mean(text, places)}") from None


def _hidden(text: str) -> str:
    if text not in {_CLIENT, _TRACE}:
        raise ValueError(f'hide = "{_CLIENT}" or "{_TRACE}"')
    return text
