"""The interface between the reader of rules and the stages, which make rules of the entries that it finds."""

from collections.abc import Sequence
from typing import Any, Protocol

from mta.config.rules.keys.key import RuleKey
from mta.config.rules.rule_values import ValueReader
from mta.config.rules.toml_tables import TableEntry
from mta.rules.conditions import Rule


class OpenRule(Protocol):
    """One rule of a stage while its entries are read: its actions and options."""

    @property
    def ends_search(self) -> bool:
        """Whether no further rule of the stage is asked if this one applies."""

    def add(self, key: RuleKey, entry: TableEntry, values: ValueReader) -> None:
        """Add an action or option. Parts of its value that cannot be read are left out and told.

        Raises RuleValueError for a value that has no meaning.
        """

    def check(self, *, complete: bool) -> None:
        """Check the actions together. Raises RuleValueError.

        `complete` is false if entries could not be read, which have been told and may have been the missing ones.
        """

    def finish(self, rule: Rule) -> None:
        """Add the finished rule to its stage. Called once after `check`, if all is correct. Raises RuleValueError."""


class StageReader(Protocol):
    """The rules of one stage while all files are read."""

    @property
    def rules(self) -> Sequence[Any]:
        """The finished rules in their order."""

    def open_rule(self) -> OpenRule:
        """Begin a rule."""

    def made(self) -> Any:
        """Return the stage as a value of RuleBook, or None if it has no rules."""
