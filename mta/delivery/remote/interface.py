"""The seam between the code that schedules deliveries and the code that talks to a remote host."""

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from mta.fast_value import fast_value
from mta.message.body import Body
from mta.message.envelope import Envelope
from mta.message.outcome import Outcome, TryLater
from mta.queue.interface import Pending, QueueId
from mta.routing.route import Plan

#: Tells whether a note in flight is so old that another relay may have the message by now.
IsStale = Callable[[], bool]


@fast_value(frozen=True, slots=True)
class DeliveryRequest:
    """The input of one transaction: a message and those of its recipients that the transaction is for."""

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
    #: The number of recipients that the host had accepted.
    limit: int


@fast_value(frozen=True, slots=True)
class TransactionResult:
    """The result of one transaction.

    `outcomes` has an entry for each recipient index of the request, except for those in `excess`. If `stale` is true it
    is empty: the remote host closed the kept-open connection before it answered anything to this request, so the
    request may go over another connection at once.
    """

    outcomes: Mapping[int, Outcome]
    stale: bool = False
    #: If the session ended: whether the whole message was sent, so that the remote host may have it.
    fully_sent: bool = False
    excess: ExcessRecipients | None = None
    #: The domain and selectors that signed the message, as in `mta.dkim.signer.Signature`; "" if signing is off.
    signed_by: str = ""


class Connection(Protocol):
    """A session with one remote host that is ready for mail: greeting, EHLO, TLS and login are done."""

    @property
    def peer(self) -> str:
        """The route's label."""

    @property
    def security(self) -> str:
        """The connection's protection for the log, `TLSv1.3 TLS_AES_256_GCM_SHA384 verified`, or "" in clear.

        If the connection is in clear although the host offers STARTTLS, it is `none(<reason>)`.
        """

    @property
    def tried(self) -> frozenset[str]:
        """Labels of the routes that were tried to open the connection, including its own."""

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """The recipients of a transaction and the messages of the session that the host announces to take at most."""

    @property
    def usable(self) -> bool:
        """Whether the connection can take a request now."""

    def deliver(self, request: DeliveryRequest) -> "Deferred[TransactionResult]":
        """Run one transaction; one at a time. The Deferred must not fail because of anything a remote host did."""

    def quit(self) -> None:
        """Send QUIT and close the connection, after the transaction that is running."""

    def when_down(self, down: Callable[[], None]) -> None:
        """Have `down` called once the connection is down; now, if it is down already."""

    def abort(self) -> None:
        """Close the connection at once; a running `deliver` ends with TryLater."""


class Connector(Protocol):
    """Opens connections."""

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> "Deferred[Connection | TryLater]":
        """Try the routes in order until a connection is ready for mail. TryLater explains the failure of the last one.

        Skip the routes whose label is in `tried`; if that leaves no route, the TryLater names no host. The Deferred
        must not fail because of anything a remote host did. Cancelling it closes the connection being opened.
        """
