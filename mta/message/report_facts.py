"""What a sender is to be told: the facts a report is made from. Times are wall-clock seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from mta.message.body import Body
from mta.message.envelope import Envelope, Notify, Recipient
from mta.message.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Original:
    """The message a report is about; `id` is its queue id, `created` when it came in."""

    id: str
    envelope: Envelope
    body: Body
    created: float


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What became of one recipient."""

    recipient: Recipient
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ReportIdentity:
    """What makes a report different from every other."""

    #: Our own host name.
    name: str
    #: The queue id of the report.
    id: str
    #: Letters and digits that nobody can guess: they keep the parts of the report apart.
    token: str
    now: float


@dataclass(frozen=True, slots=True)
class Report:
    """One event (FAILURE, DELAY or SUCCESS), and the recipients to tell about."""

    event: Notify
    original: Original
    results: Sequence[ReportedRecipient]
    stamp: ReportIdentity
    #: When delivery will be given up.
    until: float | None
