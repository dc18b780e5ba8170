"""The connection of one client: the SMTP machine, the session that decides on its replies, and the writer.

Each connection owns one machine and one writer. Octets from the socket go into the machine, its events to the session,
the session's replies back into the machine, and the machine's output to the writer. A reply that needs time (the commit
of a message, a DNS look-up) arrives through `reply_ready`; input waits in the machine until then.
"""

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.inbound.limits import InboundLimits
from mta.inbound.policy import Client
from mta.inbound.session import HANDLERS, Session
from mta.inbound.sockets.port_rule import PortRule
from mta.smtp.replies import Reply, reply
from mta.smtp.server.events import WAITING
from mta.smtp.server.machine import ServerMachine
from mta.tls.binding import channel_binding
from mta.tls.context import protocol_and_cipher
from mta.tls.prompt_writer import PromptWriter
from mta.tls.server import tls_failure_text

if TYPE_CHECKING:
    from mta.inbound.listener import SmtpServerFactory

TIMEOUT = reply(421, "4.4.2", "Too slow, closing the connection")
STOPPING = reply(421, "4.3.2", "The service is stopping, please try again later")

# Octets of input that may wait for a reply before the relay stops reading from the client.
_MAX_BUFFERED = 16384
# Octets of commands read at once. A client that pipelines hundreds of commands waits for its next turn like all others.
_COMMAND_READ = 8192
# Octets read at once from a body, and from a body that arrives in more than one piece. With Twisted's 64 KiB a large
# body takes twice as many turns of the reactor, a tenth of its cost (measured).
_FIRST_READ, _BODY_READ = 65536, 131072
# Seconds for which the input of a session that the relay ended is read and dropped.
_LINGER = 5.0


class SessionDeadlines:
    """The deadlines of one session: for the next command, for a body, and for the whole session.

    Times are seconds on the reactor's clock. A deadline is absolute: the relay's replies move it, but the octets of a
    command do not.
    """

    __slots__ = ("_accepted", "_accepted_at", "_deadline", "_limits", "_measured_at", "_measured_octets", "_measuring")

    def __init__(self, limits: InboundLimits, now: float) -> None:
        self._limits = limits
        self._deadline = now + limits.command_timeout
        # The rate of a body is measured from this time on, when it had this many octets.
        self._measuring = False
        self._measured_at = now
        self._measured_octets = 0
        # The time of the last accepted message (at first: of the start), and the number of accepted messages.
        self._accepted_at = now
        self._accepted = 0

    def replied(self, session: Session, now: float) -> None:
        """Restart the time for the client's next step. The rate of a body is measured over all its chunks."""
        limits = self._limits
        if not session.in_body:
            self._measuring = False
            self._deadline = now + limits.command_timeout
        else:
            self._deadline = now + limits.data_timeout
            if not self._measuring:
                self._measuring = True
                self._measured_at, self._measured_octets = now, session.octets

    def body_received(self, now: float) -> None:
        """Restart the time for the next piece of a body."""
        self._deadline = now + self._limits.data_timeout

    def set(self, deadline: float) -> None:
        """Set a deadline for some other step."""
        self._deadline = deadline

    def is_over(self, session: Session, now: float) -> bool:
        """Whether the next step, the body, or the session without an accepted message takes too long."""
        if session.accepted != self._accepted:
            self._accepted, self._accepted_at = session.accepted, now
        if session.in_body:
            return now >= self._deadline or self._is_too_slow(session, now)
        return now >= self._deadline or now - self._accepted_at >= self._limits.fruitless_timeout

    def _is_too_slow(self, session: Session, now: float) -> bool:
        limits = self._limits
        elapsed = now - self._measured_at
        if elapsed < limits.data_rate_window:
            return False
        slow = session.octets - self._measured_octets < limits.data_rate * elapsed
        self._measured_at, self._measured_octets = now, session.octets
        return slow


@implementer(IPushProducer, IHandshakeListener, IHalfCloseableProtocol)
class SmtpServerProtocol(Protocol):
    """The connection of one client. As a producer it is paused while the client does not read its replies."""

    transport: Connection

    def __init__(self, client: Client, rule: PortRule, listener: "SmtpServerFactory") -> None:
        self.client = client
        self._rule = rule
        #: None before the connection is made and after it is lost.
        self.session: Session | None = None
        self._listener = listener
        self._machine: ServerMachine
        self._writer: PromptWriter
        self._deadlines: SessionDeadlines
        # Whether events are being handled, so that a reply need not resume the session.
        self._handling = False
        # Whether the machine waits for a reply.
        self._waiting = False
        # Whether the client does not read its replies.
        self._unread = False
        # Whether reading is paused because too much input waits for a reply.
        self._input_paused = False
        self._handshaking = False
        # Whether the client has closed its sending side.
        self._input_ended = False
        # Whether the last reply is written, so that only the client's end of the connection is awaited.
        self._closing = False

    def connectionMade(self) -> None:
        """Begin the session with the greeting, or with TLS if the rule of the port says so."""
        listener = self._listener
        listener.enter(self)
        self._writer = PromptWriter(self.transport)
        self._deadlines = SessionDeadlines(listener.limits, listener.clock.seconds())
        self.transport.registerProducer(self, True)
        self.transport.bufferSize = _COMMAND_READ
        self._machine = listener.new_machine(self.client, self._rule)
        self.session = listener.new_session(self.client, self._rule, self.reply_ready)
        if self._rule.implicit_tls:
            self._start_tls()
        else:
            self.greet()

    def greet(self) -> None:
        """Send the greeting."""
        self.reply_ready(self._listener.greeting)

    def reply_ready(self, reply: Reply) -> None:
        """Give the machine the reply to the event that asked. Resume the session if the reply comes late."""
        self._machine.answer(reply)
        session = self.session
        if session is None or self._handling:
            return
        self._handle_events(session)
        self._flush(session)
        if self._listener.stopping:
            self.wind_up()

    def dataReceived(self, data: bytes) -> None:
        """Have the machine read input of the client."""
        session = self.session
        if session is None or self._closing:
            return
        in_body = session.in_body
        self._machine.receive(data)
        self._handle_events(session)
        if session.in_body:
            self.transport.bufferSize = _BODY_READ if in_body else _FIRST_READ
            if in_body:
                self._deadlines.body_received(self._listener.clock.seconds())
        elif in_body:
            self.transport.bufferSize = _COMMAND_READ
        self._flush(session)
        if self._listener.stopping:
            self.wind_up()

    def handshakeCompleted(self) -> None:
        """Begin the session inside TLS, or anew: that in clear does not count any more (RFC 3207 section 4.2)."""
        self._handshaking = False
        session = self.session
        if session is None:
            return
        protection = protocol_and_cipher(self.transport)
        session.tls_started(protection)
        if not self._rule.implicit_tls:
            self._machine.tls_started()
        if session.login is not None:
            binding = channel_binding(self.transport, server=True)
            self._machine.offer_logins(session.login.tls_started(protection, binding))
        if self._rule.implicit_tls:
            self.greet()

    def readConnectionLost(self) -> None:
        """Reply to everything that the client sent before it closed its sending side; then close.

        Exim closes its sending side behind a pipelined QUIT. It sends the message again if the replies are missing.
        """
        self._input_ended = True
        session = self.session
        if session is None:
            return
        if self._closing:
            # The client has closed as well: there is no input left to wait for.
            self._writer.close()
            return
        self._machine.eof()
        self._handle_events(session)
        self._flush(session)

    def writeConnectionLost(self) -> None:
        """Do nothing: the client's last input is still to be read and dropped."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the session, so that it drops the message that is under way."""
        session, self.session = self.session, None
        if session is None:
            return
        self._listener.leave(self)
        trouble = tls_failure_text(reason)
        if trouble:
            session.log_end(trouble)
        if not session.closed:
            self._machine.lost()
            self._handle_events(session)

    def pauseProducing(self) -> None:
        """Read no more commands while the client does not read its replies."""
        self._unread = True
        self._set_deadline(self._listener.limits.write_timeout)
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on, because the client has read its replies."""
        self._unread = False
        if self.session is not None:
            self._deadlines.replied(self.session, self._listener.clock.seconds())
        if not self._input_paused:
            self._resume_reading()

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    def check_deadlines(self, now: float) -> None:
        """End the session if a deadline is over, or if a body arrives too slowly."""
        session = self.session
        if session is None or session.storing or not self._deadlines.is_over(session, now):
            return
        if self._unread or self._closing:
            self._abort(session)
        else:
            self.end(TIMEOUT, "timeout")

    def end(self, last_reply: Reply, reason: str) -> None:
        """End the session with a last reply.

        The verdict on a message that is being stored comes first; without it the client would send the message again.
        """
        session = self.session
        if session is None or session.storing or self._closing:
            return
        if self._handshaking:
            self._abort(session)
            return
        self._machine.close(last_reply, reason)
        self._handle_events(session)
        self._flush(session)

    def wind_up(self) -> None:
        """End the session because the relay stops; a message that is being sent may first come to its end."""
        if self.session is not None and not self.session.in_body:
            self.end(STOPPING, "the relay is stopping")

    def _handle_events(self, session: Session) -> None:
        """Have the session handle all events, and pass its replies to the machine."""
        machine = self._machine
        self._handling = True
        # A NoEvent has no handler.
        while (handler := HANDLERS.get(type(event := machine.next_event()))) is not None:
            reply = handler(session, event)
            if reply is not None:
                machine.answer(reply)
        self._waiting = event is WAITING
        self._handling = False

    def _flush(self, session: Session) -> None:
        """Write the machine's output, then close, start TLS, or pause reading if the session requires it."""
        output = self._machine.to_send()
        if output:
            self._writer.write(output)
            if not self._unread:
                self._deadlines.replied(session, self._listener.clock.seconds())
        if session.closed:
            self._close(session)
        elif session.tls_due and self._listener.certificate is not None:
            session.tls_due = False
            self._start_tls()
        elif (self._waiting and self._machine.buffered > _MAX_BUFFERED) is not self._input_paused:
            self._pause_or_resume_input()

    def _start_tls(self) -> None:
        """Begin the TLS handshake, which `handshakeCompleted` ends."""
        self._handshaking = True
        self._set_deadline(self._listener.limits.handshake_timeout)
        self._writer.start_tls(self._listener.certificate)

    def _close(self, session: Session) -> None:
        """Close the connection, or only the sending side while the client may still be sending.

        Closing on unread input would reset the connection, so that the client might lose the last reply: that input is
        read and dropped.
        """
        self._closing = True
        self.transport.unregisterProducer()
        if not self._unread:
            self._set_deadline(_LINGER)
        # A TLS connection cannot be closed by half: the last reply would be cut off.
        if session.said_goodbye or self._input_ended or getattr(self.transport, "TLS", False):
            self._writer.close()
        else:
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()

    def _abort(self, session: Session) -> None:
        """Drop a connection on which no reply can be sent any more."""
        if self._unread:
            session.log_end("it does not read the replies")
        elif self._handshaking:
            session.log_end("the TLS handshake did not come to its end")
        self.transport.abortConnection()

    def _pause_or_resume_input(self) -> None:
        self._input_paused = not self._input_paused
        if self._input_paused:
            self.transport.pauseProducing()
        elif not self._unread:
            self._resume_reading()

    def _resume_reading(self) -> None:
        # Reading at the end of the input would report that end again.
        if not self._input_ended:
            self.transport.resumeProducing()

    def _set_deadline(self, seconds: float) -> None:
        self._deadlines.set(self._listener.clock.seconds() + seconds)
