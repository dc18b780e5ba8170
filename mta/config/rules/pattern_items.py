"""Makes patterns of the texts in rules: `+NAME` stands for a list of [lists], `file:/path` for one in a file.

A list is read once, however many rules name it, and a mistake in it is told once.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mta.config.rules.keys.table import FILE_PREFIX, LIST_PREFIX, did_you_mean
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import MAX_LIST_ENTRIES, read_list
from mta.config.setting import shorten, without_password
from mta.file_states import FileRecord
from mta.rules.conditions import RulePlace

T = TypeVar("T")

# The line is not shown, because a file that was named by mistake may have passwords.
_IN_FILE = "the line is no pattern for this key; a line has one, such as example.com or bob@example.com"
_MAP_LINE = "the line is no pattern with an address behind it, such as root@*.lan ops@example.com"
#: The entries of all lists and conditions together.
MAX_ENTRIES = 500_000


#: A text with its place.
PlacedItem = tuple[str, RulePlace]


@dataclass(slots=True)
class PatternItems:
    """The lists that rules may name, and the patterns that were read from them."""

    mistakes: RuleMistakes
    #: Notes the files that rules name, each before it is read.
    record: FileRecord
    #: The lists of [lists]: their items by name.
    named: dict[str, list[PlacedItem]] = field(default_factory=dict)
    #: The lists in files that were read: their items by path.
    files: dict[str, list[PlacedItem]] = field(default_factory=dict)
    #: The names of the smarthosts in tables [smarthost.NAME]. The values are not used.
    smarthosts: dict[str, Any] = field(default_factory=dict)
    #: Lists of patterns that several conditions may share.
    compiled: dict[Hashable, Any] = field(default_factory=dict)
    #: The number of mistakes that were told.
    told: int = 0
    _patterns: dict[tuple[Hashable, str], list[object]] = field(default_factory=dict)
    _count: int = 0

    def tell(self, where: RulePlace, words: str) -> None:
        """Add a mistake at a place."""
        self.told += 1
        if where.line:
            self.mistakes.add(where.file, where.line, words)
        else:
            self.mistakes.add_variable(where.file, words)

    def read(self, key: str, items: Sequence[PlacedItem], read: Callable[[str], T]) -> list[T]:
        """Return the patterns that the items of a condition and the lists that they name have.

        `read` makes one, or raises ValueError with words. Items that cannot be read are left out and told.
        """
        return [pattern for item in items for pattern in self._read_item(key, item, read)]

    def _read_item(self, key: str, item: PlacedItem, read: Callable[[str], T]) -> Iterable[T]:
        text = item[0]
        if not text.startswith((LIST_PREFIX, FILE_PREFIX)):
            return list(self._read_all(key, [item], read))
        known = self._patterns.get((read, text))
        if known is None:
            found: list[object] = list(self._read_all(key, self._members(item), read))
            self._patterns[read, text] = known = found
        return known  # type: ignore[return-value]  # the reader is part of the key

    def _read_all(self, key: str, items: Iterable[PlacedItem], read: Callable[[str], T]) -> Iterator[T]:
        for text, where in items:
            self._count += 1
            if self._count > MAX_ENTRIES:
                self.tell(
                    where, f"the rules have more than {MAX_ENTRIES} entries in all; name a list instead of copies"
                )
                return
            try:
                yield read(text)
            except ValueError as error:
                in_file = _MAP_LINE if key == "map" else _IN_FILE
                self.tell(where, f"{key}: {in_file}" if where.file in self.files else _words(key, text, str(error)))

    def _members(self, item: PlacedItem) -> list[PlacedItem]:
        """Return the items of a list that an item names. A list of [lists] may name files."""
        text, where = item
        if text.startswith(FILE_PREFIX):
            return self._file(text.removeprefix(FILE_PREFIX), where)
        members = self.named.get(text.removeprefix(LIST_PREFIX))
        if members is None:
            hint = did_you_mean(text.removeprefix(LIST_PREFIX), self.named)
            self.tell(where, f"{shorten(text, 60)}: [lists] has no such list{hint}")
            return []
        found: list[PlacedItem] = []
        for member in members:
            if member[0].startswith(LIST_PREFIX):
                self.tell(member[1], f"{shorten(member[0], 60)}: a list names no other list; name both in the rule")
            else:
                found += self._members(member) if member[0].startswith(FILE_PREFIX) else [member]
        if len(found) > MAX_LIST_ENTRIES:
            self.tell(where, f"{shorten(text, 60)}: the list has more than {MAX_LIST_ENTRIES} entries; divide it")
            return []
        return found

    def _file(self, path: str, where: RulePlace) -> list[PlacedItem]:
        if path not in self.files:
            self.files[path] = []
            try:
                self.files[path] = [(text, RulePlace(path, number)) for number, text in read_list(path, self.record)]
            except ValueError as error:
                self.tell(where, f"{FILE_PREFIX}{shorten(path)}: {error}")
        return self.files[path]


def _words(key: str, text: str, problem: str) -> str:
    words = f"{key}: {problem}" if repr(text) in problem else f"{key} = {shorten(repr(text), 80)}: {problem}"
    return without_password(words)
