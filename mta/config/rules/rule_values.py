"""Makes conditions of the values in rules. Mistakes are told with the place and a correct example."""

import difflib
import re
from collections.abc import Callable, Collection
from typing import TypeVar

from mta.config.rules.keys.key import RuleKey, ValueForm
from mta.config.rules.keys.table import did_you_mean
from mta.config.rules.pattern_items import PatternItems, PlacedItem
from mta.config.rules.rule_words import no_smarthost
from mta.config.rules.toml_tables import TableEntry
from mta.config.setting import shorten
from mta.config.sources.exim import read_size
from mta.config.trust import read_trust
from mta.inbound.networks import TrustItem, TrustList, network
from mta.rate import read_rate
from mta.rules.conditions import (
    ClientCondition,
    Condition,
    HeaderCondition,
    HeloCondition,
    HostCondition,
    LoginCondition,
    OverCondition,
    RecipientCondition,
    RulePlace,
    SenderCondition,
    SizeCondition,
    SmarthostCondition,
    TlsCondition,
)
from mta.rules.pattern_lists import AddressPatterns, TextPatterns
from mta.rules.patterns import ANY, AddressPattern, read_address_pattern, read_text_pattern
from mta.rules.retries import ErrorCondition, read_error
from mta.rules.transport import DEFAULT_SMARTHOST

Pattern = TypeVar("Pattern")
Patterns = TypeVar("Patterns")

#: The words of `client` that name no network.
TRUSTED, STRANGER = _WORDS = ("trusted", "stranger")
_MISSPELLED = 0.8
_MAX_HEADER_NAME = 76
_SHOWN = 60
# The usual client, which can be read in one way only.
_IPV4 = re.compile(r"[1-9][0-9]*(?:\.[0-9]+){3}(?:/[0-9]+)?")


class RuleValueError(ValueError):
    """A value cannot be used. The message has words for the operator, without the key."""


class ValueReader:
    """Reads the values of one file of rules."""

    def __init__(self, path: str, items: PatternItems) -> None:
        self._path = path
        self._items = items

    def condition(self, key: RuleKey, entry: TableEntry) -> Condition:
        """Return the condition of an entry. Items that cannot be read are left out and told.

        Raises RuleValueError for a value of the wrong form.
        """
        if key.form is ValueForm.BOOLEAN:
            return TlsCondition(read_boolean(entry.value))
        if key.form is ValueForm.SIZE:
            return SizeCondition(_size(entry.value))
        maker = ValueReader.domains if key.form is ValueForm.DOMAINS else _MAKERS[key.name.partition(".")[0]]
        return maker(self, entry, self._placed(key, entry))

    def items(self, entry: TableEntry, read: Callable[[str], Pattern]) -> list[Pattern]:
        """Return the values that `read` makes of an entry. Those that cannot be read are left out and told.

        Raises RuleValueError for a value of the wrong form.
        """
        return self._items.read(
            entry.name, placed_items(self._path, entry, lambda: "a text or an array of texts"), read
        )

    def _placed(self, key: RuleKey, entry: TableEntry) -> list[PlacedItem]:
        return placed_items(self._path, entry, lambda: f"{key.form.value}, {entry.name} = {key.example}")

    def addresses(self, entry: TableEntry, items: list[PlacedItem]) -> AddressPatterns:
        """Return a list of address patterns."""
        return self._patterns(entry, items, read_address_pattern, AddressPatterns)

    def texts(self, entry: TableEntry, items: list[PlacedItem]) -> TextPatterns:
        """Return a list of text patterns."""
        return self._patterns(entry, items, read_text_pattern, TextPatterns)

    def clients(self, entry: TableEntry, items: list[PlacedItem]) -> ClientCondition:
        """Return the condition on the client."""
        words = {text.lower() for text, _ in items}
        others = [item for item in items if item[0].lower() not in _WORDS]
        networks = self._items.read(entry.name, others, _network)
        return ClientCondition(TrustList(tuple(networks)), TRUSTED in words, STRANGER in words)

    def recipients(self, entry: TableEntry, items: list[PlacedItem]) -> RecipientCondition:
        """Return the condition on a recipient. Raises RuleValueError for the null sender, which no recipient is."""
        if any(text == "<>" for text, _ in items):
            raise RuleValueError("<> is the null sender, and no recipient; a rule on bounces asks for sender")
        return RecipientCondition(self.addresses(entry, items))

    def domains(self, entry: TableEntry, items: list[PlacedItem]) -> RecipientCondition:
        """Return the condition on the domain of a recipient."""
        return RecipientCondition(self._patterns(entry, items, _domain_pattern, AddressPatterns))

    def over(self, entry: TableEntry, items: list[PlacedItem]) -> OverCondition:
        """Return the condition on rates."""
        return OverCondition(tuple(dict.fromkeys(self._items.read(entry.name, items, read_rate))))

    def smarthosts(self, entry: TableEntry, items: list[PlacedItem]) -> SmarthostCondition:
        """Return the condition on the smarthost."""
        return SmarthostCondition(frozenset(self._items.read(entry.name, items, self._smarthost)))

    def _smarthost(self, name: str) -> str:
        known = self._items.smarthosts
        if name != DEFAULT_SMARTHOST and name not in known:
            raise ValueError(no_smarthost(name, (*known, DEFAULT_SMARTHOST)))
        return name

    def header(self, entry: TableEntry, items: list[PlacedItem]) -> HeaderCondition:
        """Return the condition on header fields. Raises RuleValueError."""
        name = entry.key[-1]
        if not 0 < len(name) <= _MAX_HEADER_NAME or not all("!" <= each <= "~" and each != ":" for each in name):
            raise RuleValueError("this is not the name of a header field, header.Subject")
        return HeaderCondition(name, self.texts(entry, items))

    def errors(self, entry: TableEntry, items: list[PlacedItem]) -> ErrorCondition:
        """Return the condition on the error of the last attempt."""
        return ErrorCondition(tuple(self._items.read(entry.name, items, read_error)))

    def _patterns(
        self,
        entry: TableEntry,
        items: list[PlacedItem],
        read: Callable[[str], Pattern],
        make: Callable[[list[Pattern]], Patterns],
    ) -> Patterns:
        """Return a list of patterns. Rules with the same items share it, because it may be long."""
        identity = (read, make, tuple(text for text, _ in items))
        known: Patterns | None = self._items.compiled.get(identity)
        if known is not None:
            return known
        try:
            made = make(self._items.read(entry.name, items, read))
        except ValueError as error:
            raise RuleValueError(str(error)) from None
        self._items.compiled[identity] = made
        return made


_MAKERS: dict[str, Callable[[ValueReader, TableEntry, list[PlacedItem]], Condition]] = {
    "client": ValueReader.clients,
    "login": lambda reader, entry, items: LoginCondition(reader.texts(entry, items)),
    "helo": lambda reader, entry, items: HeloCondition(reader.texts(entry, items)),
    "sender": lambda reader, entry, items: SenderCondition(reader.addresses(entry, items)),
    "recipient": ValueReader.recipients,
    "header": ValueReader.header,
    "over": ValueReader.over,
    "host": lambda reader, entry, items: HostCondition(reader.texts(entry, items)),
    "smarthost": ValueReader.smarthosts,
    "error": ValueReader.errors,
}


def placed_items(path: str, entry: TableEntry, right: Callable[[], str]) -> list[PlacedItem]:
    """Return the texts of an entry, which is a text or an array of texts, with their places.

    `right` returns the description of a correct value. Raises RuleValueError.
    """
    items = entry.value if isinstance(entry.value, list) else [entry.value]
    if not items or "" in items:
        raise RuleValueError("it is empty, which could mean all or none; leave the key out, or name a pattern")
    wrong = [item for item in items if not isinstance(item, str)]
    if wrong:
        raise RuleValueError(f"{shown(wrong[0])} is no text; the value is {right()}")
    lines, where = entry.item_lines(), RulePlace(path, entry.line)
    return [(item, RulePlace(path, lines[item]) if item in lines else where) for item in items]


def shown(value: object) -> str:
    """Return a value as TOML has it, shortened."""
    return str(value).lower() if isinstance(value, bool) else shorten(repr(value), _SHOWN)


def read_true(name: str, value: object) -> None:
    """Check the value of the key `name`, which can only be true. Raises RuleValueError."""
    if value is not True:
        raise RuleValueError(f"{shown(value)} has no meaning; write {name} = true, or leave the key out")


def read_word(value: object, words: Collection[str]) -> str:
    """Return the one of these words that a value is. Raises RuleValueError."""
    found = value.lower() if isinstance(value, str) else ""
    if found not in words:
        hint = did_you_mean(found, words)
        raise RuleValueError(f"{shown(value)} is none of {', '.join(words)}{hint}")
    return found


def read_boolean(value: object) -> bool:
    """Return a value that is true or false. Raises RuleValueError."""
    if not isinstance(value, bool):
        raise RuleValueError(f"{shown(value)} is neither true nor false, which stand without quotes")
    return value


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    try:
        return read_size(value.strip() if isinstance(value, str) else "")
    except ValueError as error:
        raise RuleValueError(f'{error}; larger = "10M"') from None


def _domain_pattern(text: str) -> AddressPattern:
    pattern = read_address_pattern(text)
    if pattern.local != ANY:
        raise ValueError(f"{text!r} names more than a domain, and mail is carried by domains; write *@example.org")
    return pattern


def _network(text: str) -> TrustItem:
    if _IPV4.fullmatch(text):
        try:
            return TrustItem(network(text))
        except ValueError:
            raise ValueError(f"{text!r} is not a network or an address") from None
    if text.lower() in _WORDS:
        raise ValueError("the word stands in the rule itself, not in a list")
    if meant := difflib.get_close_matches(text.lower(), _WORDS, n=1, cutoff=_MISSPELLED):
        raise ValueError(f"did you mean {meant[0]}? A host name that is like it ends in a dot, {text}.")
    if text.startswith("!"):
        raise ValueError("an exception stands in a key of its own, unless.client")
    items = read_trust(text).items
    if len(items) != 1:
        raise ValueError("several clients are an array of texts")
    return items[0]
