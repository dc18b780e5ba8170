"""One client's session: the machine's events, answered by policy and intake. No transport and no clock.

The driver feeds `receive`, sends `machine.to_send`, and closes when the machine is closing. A verdict that takes time
(the sync before a 250, a look-up) leaves the machine waiting: what the client sends meanwhile stays in its buffer.
"""

from collections.abc import Callable
from typing import Protocol

from mta.event_log.log import EventLog
from mta.inbound.intake import Incoming, Intake
from mta.inbound.policy import Client
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.headers import with_protocol
from mta.smtp.address import Address
from mta.smtp.replies import Reply, reply
from mta.smtp.server import canned_replies, events
from mta.smtp.server.machine import ServerMachine

#: Recipients that every message may have (RFC 5321 section 4.5.3.1.8), however many others are under way.
FEWEST_RECIPIENTS = 100

# The words of the answer to EHLO are the machine's own.
_HELLO_OK = reply(250, "", "ok")


class Policy(Protocol):
    """Verdicts on facts; mta.inbound.policy.Policy is the real one."""

    def sender(self, client: Client, address: Address | None) -> Reply:
        """Return the reply to MAIL."""

    def recipient(self, client: Client, address: Address) -> Reply | None:
        """Return the reply to RCPT, or None when it depends on how the domain is routed."""


class Existence(Protocol):
    """Tells whether a domain, or an address literal, can be mailed at all."""

    def __call__(self, domain: str, done: Callable[[Reply], None]) -> None:
        """Call `done` with the reply to RCPT, at once or later, and once only."""


class Session:
    """Answers one client. `late` is called when an answer came after `receive` returned: go on with `run`."""

    def __init__(
        self,
        machine: ServerMachine,
        client: Client,
        policy: Policy,
        intake: Intake,
        *,
        existence: Existence,
        event_log: EventLog,
        late: Callable[[], None],
    ) -> None:
        self.machine = machine
        self.client = client
        self._policy = policy
        self._intake = intake
        self._existence = existence
        self._event_log = event_log
        self._late = late
        self._running = False
        self._helo = ""
        self._extended = False
        # Protocol and cipher, for the trace header; "" in clear.
        self._tls = ""
        #: Whether the driver is to start TLS once `machine.to_send` is out.
        self.tls_due = False
        self._mail = events.MailFrom(None)
        self._recipients: dict[Address, Recipient] = {}
        self._incoming: Incoming | None = None
        #: Whether the client is sending a body.
        self.in_body = False
        #: Octets of bodies taken so far, for the driver to measure a client's pace.
        self.octets = 0
        #: Messages taken so far.
        self.accepted = 0
        #: Whether an answer is due that we do not know yet; input gathers meanwhile.
        self.waiting = False
        #: Whether the session is over: the driver sends what there is and closes.
        self.closed = False
        #: Whether the client ended the session with QUIT.
        self.said_goodbye = False
        #: Whether a message waits for its place on disk.
        self.storing = False

    def receive(self, data: bytes) -> None:
        """Take what the client sent."""
        self.machine.receive(data)
        self.run()

    def run(self) -> None:
        """Work on all events there are."""
        self._running = True
        next_event = self.machine.next_event
        # A Pause has no handler.
        while (handler := _HANDLERS.get(type(event := next_event()))) is not None:
            handler(self, event)
        self.waiting = event is events.WAITING
        self._running = False

    def tls_started(self, protection: str) -> None:
        """TLS is on, with this protocol and cipher. The name that the client gave in clear does not count any more."""
        self._tls = protection
        self._helo, self._extended = "", False
        self.machine.tls_started()

    def note(self, trouble: str) -> None:
        """Say in the log why the connection ends."""
        self._event_log.session_ended(self.client.address, self._helo, trouble)

    def eof(self) -> None:
        """Answer everything the client sent before it closed its sending side; `closed` is set after the last reply."""
        self.machine.eof()
        self.run()

    def lost(self, trouble: str = "") -> None:
        """The client is gone, after this trouble if there was any."""
        if trouble:
            self.note(trouble)
        if not self.closed:
            self.machine.lost()
            self.run()

    def _answer(self, reply: Reply) -> None:
        self.machine.answer(reply)
        if not self._running:
            self._late()

    def _hello(self, event: events.Hello) -> None:
        self._helo = event.name
        self._extended = event.extended
        self._forget()
        self._answer(_HELLO_OK)

    def _mail_from(self, event: events.MailFrom) -> None:
        self._mail = event
        self._forget_recipients()
        verdict = self._policy.sender(self.client, event.sender)
        if not verdict.positive:
            self._refused(None, verdict)
        self._answer(verdict)

    def _rcpt_to(self, event: events.RcptTo) -> None:
        recipient = event.recipient
        if len(self._recipients) >= FEWEST_RECIPIENTS and not self._intake.room_for_recipient():
            self._answer(canned_replies.TOO_MANY_RECIPIENTS)
            return
        verdict = self._policy.recipient(self.client, recipient.address)
        if verdict is None:
            self._existence(recipient.address.domain, lambda found: self._judged(recipient, found))
        else:
            self._judged(recipient, verdict)

    def _judged(self, recipient: Recipient, verdict: Reply) -> None:
        if not verdict.positive:
            self._refused(str(recipient.address), verdict)
        elif not self.closed:
            # Given twice, delivered once; what was asked first about reports holds.
            recipients = self._recipients
            before = len(recipients)
            recipients.setdefault(recipient.address, recipient)
            if len(recipients) > max(before, FEWEST_RECIPIENTS):
                self._intake.surplus_recipients += 1
        self._answer(verdict)

    def _data_begin(self, _event: events.DataBegin) -> None:
        mail = self._mail
        protocol = with_protocol(esmtp=self._extended, tls=bool(self._tls), smtputf8=mail.smtputf8)
        envelope = Envelope(
            mail.sender,
            tuple(self._recipients.values()),
            Origin(self.client.address, self._helo, protocol),
            mail.body_type,
            mail.smtputf8,
            mail.ret,
            mail.envid,
        )
        self._incoming = self._intake.begin(envelope, self.client, self._tls)
        self.in_body = True
        self._answer(canned_replies.SEND_DATA)

    def _body_part(self, event: events.BodyPart) -> None:
        assert self._incoming is not None, "a body part comes after its beginning"
        self.octets += len(event.data)
        self._incoming.write(event.data)

    def _body_end(self, _event: events.BodyEnd) -> None:
        incoming, self._incoming = self._incoming, None
        assert incoming is not None, "a body ends after its beginning"
        self.in_body = False
        self.storing = True
        incoming.finish(self._stored)

    def _stored(self, verdict: Reply) -> None:
        self.storing = False
        if verdict.positive:
            self.accepted += 1
        else:
            self._refused(None, verdict)
        self._forget_recipients()
        self._answer(verdict)

    def _body_refused(self, event: events.BodyRefused) -> None:
        self._refused(None, event.reply)
        self._forget()

    def _command_refused(self, event: events.CommandRefused) -> None:
        self._event_log.refused_command(self.client.address, self._helo, event.command, event.reply)

    def _reset(self, _event: events.Reset) -> None:
        self._forget()

    def _start_tls(self, _event: events.StartTls) -> None:
        self.tls_due = True
        self._answer(canned_replies.READY_FOR_TLS)

    def _closed(self, event: events.Closed) -> None:
        unfinished = self.in_body
        self.closed = True
        self._forget()
        self.said_goodbye = event.reply is not None and event.reply.positive
        if event.reply is not None and not event.reply.positive:
            self._event_log.session_ended(self.client.address, self._helo, str(event.reply))
        elif unfinished:
            self._event_log.session_ended(self.client.address, self._helo, event.reason)

    def _refused(self, recipient: str | None, verdict: Reply) -> None:
        sender = "" if self._mail.sender is None else str(self._mail.sender)
        self._event_log.refused(self.client.address, self._helo, sender, recipient, verdict)

    def _forget_recipients(self) -> None:
        surplus = len(self._recipients) - FEWEST_RECIPIENTS
        if surplus > 0:
            self._intake.surplus_recipients -= surplus
        self._recipients.clear()

    def _forget(self) -> None:
        self._forget_recipients()
        if self._incoming is not None:
            self._incoming.abort()
            self._incoming = None
            self.in_body = False


_HANDLERS: dict[type, Callable[..., None]] = {
    events.Hello: Session._hello,
    events.MailFrom: Session._mail_from,
    events.RcptTo: Session._rcpt_to,
    events.DataBegin: Session._data_begin,
    events.BodyPart: Session._body_part,
    events.BodyEnd: Session._body_end,
    events.BodyRefused: Session._body_refused,
    events.CommandRefused: Session._command_refused,
    events.Reset: Session._reset,
    events.StartTls: Session._start_tls,
    events.Closed: Session._closed,
}


def existing(_domain: str, done: Callable[[Reply], None]) -> None:
    """Take every relay domain for existing, as when a smarthost gets all mail."""
    done(canned_replies.RECIPIENT_OK)
