"""A conversation past its opening: carries one parcel after the other over a link."""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed

from mta.delivery.carriage import Carried, Parcel
from mta.delivery.letters import Draft, draft, outcomes
from mta.delivery.link import Link
from mta.message.outcome import Outcome
from mta.smtp.dialogue import Cause, Event, Trouble

#: What a kept-open connection dies of between two parcels.
_DEAD = frozenset({Cause.LOST, Cause.TIMEOUT, Cause.CLOSING})

# Reading a member off its Enum costs as much as a call in Python 3.11; this one ends each transaction.
_DONE = Event.DONE


@dataclass(slots=True)
class _Run:
    parcel: Parcel
    written: Draft
    done: "Deferred[Carried]"


class Conversation:
    """The Connection of mta.delivery.carriage."""

    def __init__(self, link: Link, peer: str, security: str, closed: "Callable[[Conversation], None] | None") -> None:
        """Take over a link that is ready; `closed` is called once, when its connection is down."""
        self.peer = peer
        self.security = security
        self._link = link
        self._client = link.client
        self._closed = closed
        self._run: _Run | None = None
        self._used = False
        self._quitting = False
        link.listener = self

    @property
    def usable(self) -> bool:
        """Whether another parcel may be given to it now."""
        return self._client.ready and not self._quitting

    def carry(self, parcel: Parcel) -> "Deferred[Carried]":
        """Run one transaction. Never fails for what a remote did; one parcel at a time."""
        if self._run is not None:
            raise RuntimeError("a connection carries one parcel at a time")
        if not self.usable:
            return succeed(Carried({}, stale=True))
        written = draft(self._client.offer, parcel, self.peer)
        if written.letter is None:
            return succeed(Carried(written.outcomes))
        self._client.begin(written.letter)
        self._run = _Run(parcel, written, Deferred())
        done = self._run.done
        self._link.flush()
        return done

    def quit(self) -> None:
        """Say QUIT and close, after the parcel that is under way."""
        self._quitting = True
        if self._client.ready:
            self._client.quit()
            self._link.close()

    def abort(self) -> None:
        """Close at once; a running `carry` ends with TryLater."""
        self._link.end(Trouble(Cause.OURS, "4.4.2", "connection closed by us"))

    def heard(self, event: Event) -> None:
        """Take an event of the session from the link."""
        if event is _DONE:
            self._finish()
        elif event is Event.SEND_BODY and self._run is not None:
            self._link.stream(self._run.parcel.body)
        elif event is Event.CLOSED:
            self._link.close()

    def gone(self) -> None:
        """Learn from the link that the connection is down."""
        if self._closed is not None:
            closed, self._closed = self._closed, None
            closed(self)

    def _finish(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        ended = self._client.ended
        stale = self._used and ended is not None and ended.cause in _DEAD and not self._client.answered
        self._used = True
        if ended is not None:
            self._link.abort()
        elif self._quitting:
            self.quit()
        run.done.callback(Carried({}, stale=True) if stale else Carried(self._outcomes(run.written)))

    def _outcomes(self, written: Draft) -> dict[int, Outcome]:
        return outcomes(written, self._client.verdicts, self.peer, dsn=self._client.offer.dsn)
