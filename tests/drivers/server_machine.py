"""A driver of the server's machine that accepts every command and records the events."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mta.smtp.limits import STRICT, Leniency, SmtpLimits
from mta.smtp.replies import Reply, reply
from mta.smtp.server import canned_replies, events
from mta.smtp.server.events import NEED_DATA, WAITING
from mta.smtp.server.machine import ServerMachine

_OK = reply(250, "2.0.0", "ok")
#: The answers to the events that need one.
YES: dict[type, Reply] = {
    events.Hello: _OK,
    events.MailFrom: canned_replies.SENDER_OK,
    events.RcptTo: canned_replies.RECIPIENT_OK,
    events.DataBegin: canned_replies.SEND_DATA,
    events.BodyEnd: reply(250, "2.0.0", "queued"),
    events.StartTls: canned_replies.READY_FOR_TLS,
}


class Serving:
    """One session past its greeting. `answers` takes the place of YES for some events."""

    def __init__(
        self,
        *,
        starttls: bool = False,
        answers: dict[type, Reply] | None = None,
        leniency: Leniency = STRICT,
        **limits: int,
    ) -> None:
        self.machine = ServerMachine(replace(SmtpLimits(), **limits), "mx.test", starttls=starttls, leniency=leniency)
        self.machine.answer(_OK)
        self.machine.next_event()
        self.machine.to_send()
        self._answers = {**YES, **(answers or {})}
        self._body = b""
        #: Every event but pieces of bodies, and the octets of each message that was accepted.
        self.events: list[events.Event] = []
        self.messages: list[bytes] = []

    @property
    def senders(self) -> list[str]:
        """Whom the machine took for a sender, in order."""
        return [str(event.sender) for event in self.events if isinstance(event, events.MailFrom)]

    def hear(self, *pieces: bytes) -> list[str]:
        """Bring pieces; return the lines that were said to them."""
        for piece in pieces:
            self.machine.receive(piece)
            while (event := self.machine.next_event()) is not NEED_DATA and event is not WAITING:
                self._take(event)
        return self.machine.to_send().decode().splitlines()

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.BodyPart):
            self._body += event.data
            return
        self.events.append(event)
        verdict = self._answers.get(type(event))
        if isinstance(event, events.DataBegin):
            self._body = b""
        elif isinstance(event, events.BodyEnd) and verdict is not None and verdict.positive:
            self.messages.append(self._body)
        if verdict is not None:
            self.machine.answer(verdict)


def octets(wire: bytes) -> list[bytes]:
    """Cut the wire to single octets."""
    return [wire[at : at + 1] for at in range(len(wire))]


def cuts(wire: bytes, places: Iterable[int] | None = None) -> Iterator[list[bytes]]:
    """Yield the wire whole, in single octets, and cut in two at each of these places, or at every octet."""
    yield [wire]
    yield octets(wire)
    for at in range(1, len(wire)) if places is None else places:
        yield [wire[:at], wire[at:]]
