"""The operator's rules for one message: their decision after its data, and all their decisions, for the log."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mta.message.envelope import Envelope
from mta.rate import RateUnit
from mta.rate_counts import Counted, RateCounts
from mta.rules.facts import Facts
from mta.smtp.address import Address
from mta.smtp.replies import Reply

if TYPE_CHECKING:
    from mta.rules.acl import Acl, Ruling
    from mta.rules.conditions import OverCondition
    from mta.rules.rewriting.change import Rewritten
    from mta.rules.rewriting.rewriting import Rewriting

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
        self._places[ruling.rule.place] = None
        self.held |= ruling.held

    def note(self, places: dict[str, None]) -> None:
        """Note the places of rules that have had an effect."""
        self._places.update(places)

    @property
    def places(self) -> str | None:
        """The places of the rules, separated by commas, or None if no rule has decided."""
        if not self._places:
            return None
        if len(self._places) <= _MAX_NAMED:
            return ",".join(self._places)
        return ",".join((*list(self._places)[:_MAX_NAMED], "..."))


class MailRates:
    """The rates that rules ask about for one message, and the mail that is counted for them once it is accepted.

    A rate of messages has one answer for the whole message. Once a recipient is accepted, room is kept for the message,
    so that several sessions together cannot pass the rate; it is counted when it is stored. A recipient is counted when
    it is accepted, whether or not its message follows.
    """

    __slots__ = ("_answers", "_asked", "_counts", "_reserved")

    def __init__(self, counts: RateCounts) -> None:
        self._counts = counts
        # The answers so far: for each rate, and each recipient if it counts recipients.
        self._answers: dict[tuple[Counted, Address | None], bool] = {}
        # The rates that were found to have room since the last decision. The values are not used.
        self._asked: dict[Counted, None] = {}
        # The rates that keep room for the message, likewise.
        self._reserved: dict[Counted, None] = {}

    def over(self, condition: "OverCondition", facts: Facts) -> bool:
        """Return whether the message or the recipient would be beyond one of the rates of a condition."""
        subject = condition.subject(facts)
        if not subject:
            return False
        counted = [Counted(condition.rule, rate, subject) for rate in condition.rates]
        # A recipient that is given twice is counted once.
        new = [each for each in counted if _question(each, facts.recipient) not in self._answers]
        over = any(self._is_over(each, facts.recipient) for each in counted)
        if not over:
            self._asked.update(dict.fromkeys(new))
        return over

    def decided(self, *, accepted: bool) -> None:
        """Take the decision on a recipient, or on the message after its data, for which the rates were asked."""
        for counted in self._asked if accepted else ():
            if counted.rate.unit is RateUnit.RECIPIENTS:
                self._counts.count(counted)
            elif counted not in self._reserved:
                self._counts.reserve(counted)
                self._reserved[counted] = None
        self._asked.clear()

    def end(self, *, accepted: bool) -> None:
        """Count the message if it is accepted. It keeps no room any longer."""
        for counted in self._reserved:
            self._counts.release(counted)
            if accepted:
                self._counts.count(counted)
        self._reserved.clear()

    def _is_over(self, counted: Counted, recipient: Address | None) -> bool:
        if counted in self._reserved:
            return False
        question = _question(counted, recipient)
        answer = self._answers.get(question)
        if answer is None:
            answer = not self._counts.has_room(counted)
            # Room for a message is kept from the first accepted recipient on; until then it may be taken by another.
            if answer or question[1] is not None:
                self._answers[question] = answer
        return answer


def _question(counted: Counted, recipient: Address | None) -> tuple[Counted, Address | None]:
    return counted, None if counted.rate.unit is RateUnit.MESSAGES else recipient


class MessageRules:
    """The rules for a message whose data has begun: those in force at that time.

    `facts` are those before the data, in an object of its own, and `rulings` the decisions on the accepted
    `recipients`. `rates` are those that were asked about these.
    """

    __slots__ = ("_acl", "_added", "_facts", "_rates", "_recipients", "_rewriting", "refused_by", "rulings")

    def __init__(
        self,
        acl: "Acl | None",
        facts: Facts,
        recipients: Sequence[Address],
        rulings: Rulings,
        *,
        rewriting: "Rewriting | None" = None,
        rates: MailRates | None = None,
    ) -> None:
        self._rates = rates
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
        places = found.change.places
        if not places:
            return None
        self.rulings.note(places)
        return found

    def read_header(self, block: bytes, added: int) -> None:
        """Keep the header block if a rule may ask for it.

        `added` is the number of octets that the relay adds to the message, below 0 if it removes more.
        """
        self._added = added
        if self._acl is not None:
            self._facts.put_header(block)

    @property
    def in_memory(self) -> int:
        """Octets of the header block that is kept."""
        return len(self._facts.header or b"")

    def refusal(self, stored: int) -> Reply | None:
        """Return the refusal of the whole message, of which `stored` octets are stored, or None."""
        if self._acl is None:
            return None
        self._facts.size = stored - self._added
        ruling = self._acl.at_data(self._facts, self._recipients)
        if self._rates is not None:
            self._rates.decided(accepted=ruling is None or ruling.refusal is None)
        if ruling is None:
            return None
        if ruling.refusal is None:
            self.rulings.add(ruling)
        else:
            self.refused_by = ruling.rule.place
        return ruling.refusal
