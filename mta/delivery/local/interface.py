"""The interface of local delivery: it takes recipients of local domains and returns an outcome for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from mta.message.outcome import Delivered, Outcome
from mta.queue.interface import Claim, NewMail, Pending
from mta.routing.route import Plan


@dataclass(frozen=True, slots=True)
class Expanded:
    """The outcome of a recipient that was replaced by others. `mails` are for them, and are added with its settlement.

    Several recipients of a message may share a mail; one settlement covers them all and adds it.
    """

    outcome: Delivered
    mails: tuple[NewMail, ...]


#: Outcomes by recipient index.
Outcomes = Mapping[int, Outcome | Expanded]


@dataclass(frozen=True, slots=True)
class LocalPart:
    """Recipients that are delivered together: by this relay (a Deferred), or to a mail store (a Plan)."""

    recipients: tuple[Pending, ...]
    delivery: "Deferred[Outcomes] | Plan"


class LocalDelivery(Protocol):
    """Delivers to the mailboxes of this host."""

    def deliver(self, claim: Claim, recipients: Sequence[Pending]) -> Sequence[LocalPart]:
        """Begin to deliver to recipients of local domains; return them in parts, each recipient in exactly one.

        The caller passes all local recipients of the claim, so that a mailbox or an address gets one copy of the
        message. The Deferred of a part must not fail because of a full disk or a missing mailbox.
        """
