"""The interface of local delivery: recipients of local domains go in, outcomes come out, each recipient once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from mta.message.outcome import Delivered, Outcome
from mta.queue.interface import Claim, NewMail, Pending
from mta.routing.route import Plan


@dataclass(frozen=True, slots=True)
class Expanded:
    """A recipient has become others: `mails` go to them, once they are added in the settlement of this `outcome`.

    Recipients of a message may share a mail; the settlement that adds it is that of all of them.
    """

    outcome: Delivered
    mails: tuple[NewMail, ...]


#: The outcomes of recipients by their index.
Outcomes = Mapping[int, Outcome | Expanded]


@dataclass(frozen=True, slots=True)
class LocalPart:
    """Recipients that are delivered together: by this relay, or over a plan to the server that has their mailboxes."""

    recipients: tuple[Pending, ...]
    way: "Deferred[Outcomes] | Plan"


class LocalDelivery(Protocol):
    """Delivers to mailboxes of our own."""

    def deliver(self, claim: Claim, recipients: Sequence[Pending]) -> Sequence[LocalPart]:
        """Begin to deliver to recipients of local domains; return them in parts, each recipient in one.

        These are all local recipients of the claim, so that a mailbox or an address gets one copy of the message. A
        part never fails for a full disk or a missing mailbox.
        """
