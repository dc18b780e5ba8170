"""The facts from which a report to a sender is made. Times are wall-clock seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from mta.message.body import Body
from mta.message.envelope import Envelope, Notify, Recipient
from mta.message.outcome import Outcome


@dataclass(frozen=True, slots=True)
class OriginalMessage:
    """The message that a report is about; `id` is its queue id, `created` the time at which it was accepted."""

    id: str
    envelope: Envelope
    body: Body
    created: float


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """A recipient of the original message, and the outcome for it."""

    recipient: Recipient
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ReportIdentity:
    """The values that make a report unique."""

    #: The host name of this relay.
    name: str
    #: The queue id of the report.
    id: str
    #: Random letters and digits for the MIME boundary, which a sender must not be able to guess.
    token: str
    now: float


@dataclass(frozen=True, slots=True)
class Report:
    """One event (FAILURE, DELAY or SUCCESS) and the recipients that the report is about."""

    event: Notify
    original: OriginalMessage
    results: Sequence[ReportedRecipient]
    identity: ReportIdentity
    #: The time at which delivery will be given up.
    retry_until: float | None
