"""The seam between deciding when to deliver and talking to a remote host."""

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from mta.fast_value import fast_value
from mta.message.body import Body
from mta.message.envelope import Envelope
from mta.message.outcome import Outcome, TryLater
from mta.queue.interface import Pending, QueueId
from mta.routing.route import Plan


@fast_value(frozen=True, slots=True)
class DeliveryRequest:
    """What one transaction carries: a message and those of its recipients that go this way."""

    id: QueueId
    envelope: Envelope
    body: Body
    recipients: tuple[Pending, ...]
    #: Indexes of the recipients that certainly have no copy by an earlier transaction of the same attempt.
    unsent: frozenset[int] = frozenset()


@fast_value(frozen=True, slots=True)
class ExcessRecipients:
    """The recipients, by index, that a host refused at RCPT because the transaction had too many of them."""

    recipients: frozenset[int]
    #: How many recipients the host had accepted.
    limit: int


@fast_value(frozen=True, slots=True)
class TransactionResult:
    """What came of one transaction.

    `outcomes` has one entry for each recipient index of the parcel but those in `excess`, or none at all when `stale`:
    the kept-open connection was found dead before the remote answered anything to this parcel, so it may go over
    another at once.
    """

    outcomes: Mapping[int, Outcome]
    stale: bool = False
    #: When the session ended: whether all of the message was sent, so that the remote may have it.
    all_out: bool = False
    excess: ExcessRecipients | None = None
    #: The domain and selectors that signed the message, as in a Signature; "" if it was not to be signed.
    signed_by: str = ""


class Connection(Protocol):
    """A conversation with one remote host, past greeting, EHLO, TLS and login."""

    @property
    def peer(self) -> str:
        """The route's label."""

    @property
    def security(self) -> str:
        """The connection's protection for the log, `TLSv1.3 TLS_AES_256_GCM_SHA384 verified`, or "" in clear.

        In clear although the host offers STARTTLS it is `none(<reason>)`.
        """

    @property
    def tried(self) -> frozenset[str]:
        """Labels of the routes that were tried to open it, its own included."""

    @property
    def usable(self) -> bool:
        """Whether another parcel may be given to it now."""

    def carry(self, parcel: DeliveryRequest) -> "Deferred[TransactionResult]":
        """Run one transaction. Never fails for what a remote did; one parcel at a time."""

    def quit(self) -> None:
        """Say QUIT and close; what runs is cut short only by `abort`."""

    def abort(self) -> None:
        """Close at once; a running `carry` ends with TryLater."""


class Connector(Protocol):
    """Opens connections."""

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> "Deferred[Connection | TryLater]":
        """Try the routes in turn until one is ready for mail. TryLater tells what went wrong with the last one.

        Routes whose label is in `tried` are left out; the TryLater names no host if that leaves no route. No act of a
        remote host makes the Deferred fail. Cancelling closes the connection under way.
        """
