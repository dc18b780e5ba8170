"""The operator's rules for one message: their decision after its data, and all their decisions, for the log."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mta.message.envelope import Envelope
from mta.rules.facts import Facts
from mta.smtp.address import Address
from mta.smtp.replies import Reply

if TYPE_CHECKING:
    from mta.rules.acl import Acl, Ruling
    from mta.rules.conditions import Rule
    from mta.rules.rewriting.rewriting import Rewriting, Rewritten

# Rules that one line of the log names.
_MAX_NAMED = 20


class Rulings:
    """The decisions by which rules have accepted or held a message, or some of its recipients."""

    __slots__ = ("_places", "held")

    def __init__(self) -> None:
        # The places of the rules in the order of their first decisions, each once.
        self._places: dict[str, None] = {}
        #: Whether the message is to be held.
        self.held = False

    def add(self, ruling: "Ruling") -> None:
        """Note a decision that is not a refusal."""
        self.note(ruling.rule)
        self.held |= ruling.held

    def note(self, rule: "Rule") -> None:
        """Note a rule that has had an effect."""
        self._places[str(rule.where)] = None

    @property
    def places(self) -> str | None:
        """The places of the rules, separated by commas, or None if no rule has decided."""
        if not self._places:
            return None
        more = ("...",) if len(self._places) > _MAX_NAMED else ()
        return ",".join((*list(self._places)[:_MAX_NAMED], *more))


class MessageRules:
    """The rules for a message whose data has begun: those in force at that time.

    `facts` are those before the data, and `rulings` the decisions on the accepted `recipients`.
    """

    __slots__ = ("_acl", "_added", "_facts", "_recipients", "_rewriting", "refused_by", "rulings")

    def __init__(
        self,
        acl: "Acl | None",
        facts: Facts,
        recipients: Sequence[Address],
        rulings: Rulings,
        rewriting: "Rewriting | None" = None,
    ) -> None:
        self._rewriting = rewriting
        self._acl = acl if acl is not None and acl.asks_at_data else None
        self._facts = facts
        self._recipients = recipients
        self._added = 0
        self.rulings = rulings
        #: The place of the rule that refused the message.
        self.refused_by: str | None = None

    def rewrite(self, envelope: Envelope, block: bytes) -> "Rewritten | None":
        """Return the message as the rules change it, or None if no rule changes it. Raises HostNotLookedUp."""
        if self._rewriting is None:
            return None
        found = self._rewriting.apply(self._facts, envelope, block)
        for note in found.notes:
            self.rulings.note(note.rule)
        return found if found.notes else None

    def read_header(self, block: bytes, added: int) -> None:
        """Keep the header block if a rule may ask for it.

        `added` is the number of octets that the relay adds to the message, below 0 if it removes more.
        """
        self._added = added
        if self._acl is not None:
            self._facts = replace(self._facts, header=block)

    @property
    def in_memory(self) -> int:
        """Octets of the header block that is kept."""
        return len(self._facts.header or b"")

    def refusal(self, stored: int) -> Reply | None:
        """Return the refusal of the whole message, of which `stored` octets are stored, or None."""
        if self._acl is None:
            return None
        ruling = self._acl.at_data(replace(self._facts, size=stored - self._added), self._recipients)
        if ruling is None:
            return None
        if ruling.refusal is None:
            self.rulings.add(ruling)
        else:
            self.refused_by = str(ruling.rule.where)
        return ruling.refusal
