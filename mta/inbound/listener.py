"""The Twisted edge of listening: pumps sessions, keeps their time, and stops reading from whoever does not read us."""

from collections.abc import Callable
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.event_log.log import EventLog
from mta.inbound.accepting import RejectedClient
from mta.inbound.deadlines import SessionDeadlines
from mta.inbound.limits import ConnectionLimiter, InboundLimits
from mta.inbound.policy import Client
from mta.inbound.rejection_log import RejectionLog
from mta.inbound.session import Session
from mta.smtp.replies import Reply, reply
from mta.tls.context import protocol_and_cipher
from mta.tls.prompt_writer import PromptWriter
from mta.tls.server import failure_words

TIMEOUT = reply(421, "4.4.2", "Too slow, closing the connection")
STOPPING = reply(421, "4.3.2", "The service is stopping, please try again later")

# Input that may wait for an answer before we stop reading from the client.
_MUCH_INPUT = 16384
# Octets of commands read at once: a client that pipelines hundreds of them waits for its next turn like all others.
_COMMAND_READ = 8192
# Octets read at once from a body, and from one that comes in more than one piece. With Twisted's 64 KiB that takes
# twice as many turns of the reactor, a tenth of what such a body costs (measured).
_FIRST_READ, _BODY_READ = 65536, 131072
# Seconds between two looks at all sessions for those whose time is up.
_SWEEP = 5.0
#: Seconds that messages which are being sent have to come to their end when we stop.
GRACE = 4.0
#: Seconds for clients to take our last words when we stop; with the grace as long as running deliveries have.
GOODBYE = 3.0
# Seconds for which the input of a session that we ended is read and dropped.
_LINGER = 5.0


class NewSession(TypingProtocol):
    """Makes the session of a client that was let in."""

    def __call__(self, client: Client, late: Callable[[], None]) -> Session:
        """Return a session; it calls `late` when an answer comes after it went back to its driver."""


@implementer(IPushProducer, IHandshakeListener, IHalfCloseableProtocol)
class ESMTP(Protocol):
    """One connection. As a producer it is told when the client does not read our replies."""

    transport: Connection

    def __init__(self, client: Client, listener: "ESMTPFactory") -> None:
        self.client = client
        self.listener = listener
        self.session: Session | None = None
        self._writer: PromptWriter
        self._pace: SessionDeadlines
        self._unread = False
        self._crowded = False
        self._handshaking = False
        # Whether the client has closed its sending side.
        self._input_ended = False
        # Whether our last words are out and only the client's end of the connection is waited for.
        self._closing = False

    def connectionMade(self) -> None:
        """Greet."""
        listener = self.listener
        listener.enter(self)
        self._writer = PromptWriter(self.transport)
        self._pace = SessionDeadlines(listener.limits, listener.clock.seconds())
        self.transport.registerProducer(self, True)
        self.transport.bufferSize = _COMMAND_READ
        self.session = listener.new_session(self.client, self._late)
        self.greet()

    def greet(self) -> None:
        """Say who we are. A client that speaks before is heard out and shut out."""
        if self.session is not None:
            self.session.machine.answer(self.listener.greeting)
            self._late()

    def handshakeCompleted(self) -> None:
        """TLS is on: nothing of what was said in clear counts any more (RFC 3207 section 4.2)."""
        self._handshaking = False
        if self.session is not None:
            self.session.tls_started(protocol_and_cipher(self.transport))

    def dataReceived(self, data: bytes) -> None:
        """Feed the session."""
        session = self.session
        if session is None or self._closing:
            return
        in_body = session.in_body
        session.receive(data)
        if session.in_body:
            self.transport.bufferSize = _BODY_READ if in_body else _FIRST_READ
            if in_body:
                self._pace.piece(self.listener.clock.seconds())
        elif in_body:
            self.transport.bufferSize = _COMMAND_READ
        self._progress()
        if self.listener.stopping:
            self.wind_up()

    def readConnectionLost(self) -> None:
        """Answer everything the client sent before it closed its sending side; then close.

        Exim closes its sending side behind a pipelined QUIT. It sends the message again if the replies are missing.
        """
        self._input_ended = True
        if self.session is None:
            return
        if self._closing:
            # The client has closed as well: nothing is left to wait for.
            self._writer.close()
        else:
            self.session.eof()
            self._progress()

    def writeConnectionLost(self) -> None:
        """Do nothing: the client's last input is still to be read and dropped."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let the session forget what was under way."""
        session, self.session = self.session, None
        if session is not None:
            self.listener.leave(self)
            session.lost(failure_words(reason))

    def pauseProducing(self) -> None:
        """The client does not read: it gets no more answers, so we take no more commands."""
        self._unread = True
        self._wait(self.listener.limits.write_timeout)
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read what we said."""
        self._unread = False
        if self.session is not None:
            self._pace.answered(self.session, self.listener.clock.seconds())
        if not self._crowded:
            self._read_on()

    def stopProducing(self) -> None:
        """Nothing is owed to a connection that ends; `connectionLost` follows."""

    def check(self, now: float) -> None:
        """End the session if its time is up, or if a body comes in slower than it must."""
        session = self.session
        if session is None or session.storing or not self._pace.is_up(session, now):
            return
        if self._unread or self._closing:
            self._break_off(session)
        else:
            self.end(TIMEOUT, "timeout")

    def end(self, last_words: Reply, reason: str) -> None:
        """End the session; a verdict on a stored message comes first, or the client would send it again."""
        session = self.session
        if session is None or session.storing or self._closing:
            return
        if self._handshaking:
            self._break_off(session)
            return
        session.machine.close(last_words, reason)
        session.run()
        self._progress()

    def wind_up(self) -> None:
        """End the session because the relay stops, unless a message is being sent: that may come to its end first."""
        if self.session is not None and not self.session.in_body:
            self.end(STOPPING, "the relay is stopping")

    def _break_off(self, session: Session) -> None:
        """End a connection on which nothing more can be said."""
        if self._unread:
            session.note("it does not read our replies")
        elif self._handshaking:
            session.note("the TLS handshake did not come to its end")
        self.transport.abortConnection()

    def _late(self) -> None:
        """An answer came after its time: go on with what the client sent meanwhile."""
        if self.session is not None:
            self.session.run()
            self._progress()
            if self.listener.stopping:
                self.wind_up()

    def _progress(self) -> None:
        """Send what there is to say; with each answer the client's time begins anew."""
        session = self.session
        if session is None:
            return
        outgoing = session.machine.to_send()
        if outgoing:
            self._writer.write(outgoing)
            if not self._unread:
                self._pace.answered(session, self.listener.clock.seconds())
        if session.closed:
            self._close(session)
        elif session.tls_due and self.listener.certificate is not None:
            session.tls_due = False
            self._handshaking = True
            self._wait(self.listener.limits.handshake_timeout)
            self._writer.start_tls(self.listener.certificate)
        elif (session.waiting and session.machine.buffered > _MUCH_INPUT) is not self._crowded:
            self._crowd()

    def _close(self, session: Session) -> None:
        """Close. A client that did not ask for it may still be sending: closing on its input would reset the
        connection and take our last words with it, so only our half is closed and the rest is read and dropped.
        """
        self._closing = True
        self.transport.unregisterProducer()
        if not self._unread:
            self._wait(_LINGER)
        # Under TLS there are no halves: the last words of that layer would be cut off.
        if session.said_goodbye or self._input_ended or getattr(self.transport, "TLS", False):
            self._writer.close()
        else:
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()

    def _crowd(self) -> None:
        self._crowded = not self._crowded
        if self._crowded:
            self.transport.pauseProducing()
        elif not self._unread:
            self._read_on()

    def _read_on(self) -> None:
        # Reading at the end of the input would report that end again.
        if not self._input_ended:
            self.transport.resumeProducing()

    def _wait(self, seconds: float) -> None:
        self._pace.wait(self.listener.clock.seconds(), seconds)


class ESMTPFactory(Factory):
    """Makes a protocol for each connection and keeps them all in view."""

    noisy = False

    def __init__(
        self,
        new_session: NewSession,
        trusted: Callable[[str], bool],
        event_log: EventLog,
        *,
        name: str,
        limits: InboundLimits,
        clock: IReactorTime,
        certificate: IOpenSSLServerConnectionCreator | None = None,
    ) -> None:
        """`certificate` is what STARTTLS uses; whoever gives it also has the sessions offer STARTTLS."""
        self.certificate = certificate
        self.new_session = new_session
        self.event_log = event_log
        self.limits = limits
        self.clock = clock
        self.greeting = reply(220, "", f"{name} ESMTP smtprelay")
        self._trusted = trusted
        self._door = ConnectionLimiter(limits)
        self._tally = RejectionLog(event_log, clock)
        self._open: set[ESMTP] = set()
        # The next look at all sessions; once we stop, the next step of that.
        self._timer: IDelayedCall | None = None
        # What `stop` gave, while someone is still here.
        self._gone: Deferred[None] | None = None
        #: Whether sessions are to end as soon as they can.
        self.stopping = False

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Return the protocol for a client at this address; an IPv4 client on an IPv6 socket keeps its IPv4 name."""
        address = str(getattr(addr, "host", "")).removeprefix("::ffff:").partition("%")[0]
        client = Client(address, self._trusted(address))
        refusal = STOPPING if self.stopping else self._door.refusal(client)
        if refusal is None:
            return self.serve(client)
        self._tally.turned_away(address, refusal)
        return RejectedClient(refusal)

    def serve(self, client: Client) -> Protocol:
        """Return the protocol for a client that is let in."""
        return ESMTP(client, self)

    def no_room(self, address: str, refusal: Reply, trouble: str) -> None:
        """Say that the system has no room for more clients, and what to do."""
        words = f"{trouble}: clients are turned away; allow the relay more open files (docs/troubleshooting.md)"
        self._tally.trouble(words, self.event_log.trouble)
        if address:
            self._tally.turned_away(address, refusal)

    def enter(self, protocol: ESMTP) -> None:
        """Count a connection in."""
        self._door.enter(protocol.client)
        self._open.add(protocol)
        if self._timer is None:
            self._timer = self.clock.callLater(_SWEEP, self._sweep)

    def leave(self, protocol: ESMTP) -> None:
        """A connection that was let in is gone."""
        self._door.leave(protocol.client)
        self._open.discard(protocol)
        if self._gone is not None and not self._open:
            self._all_gone()

    def stop(self) -> "Deferred[None]":
        """End all sessions, those that are sending a message after a grace; fire when all are gone.

        That takes GRACE and GOODBYE at most. Whoever comes from now on is told to try later.
        """
        self.stopping = True
        self._gone = gone = Deferred[None]()
        for protocol in list(self._open):
            protocol.wind_up()
        if self._timer is not None:
            self._timer.cancel()
        in_body = any(protocol.session is not None and protocol.session.in_body for protocol in self._open)
        self._timer = self.clock.callLater(GRACE if in_body else 0.0, self._grace_over)
        if not self._open:
            self._all_gone()
        return gone

    def stopFactory(self) -> None:  # noqa: N802  Twisted names it
        """No port is open any more: say how many were turned away until now."""
        self._tally.close()

    def _all_gone(self) -> None:
        gone, self._gone = self._gone, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if gone is not None:
            gone.callback(None)

    def _grace_over(self) -> None:
        self._timer = self.clock.callLater(GOODBYE, self._abort)
        for protocol in list(self._open):
            protocol.end(STOPPING, "the relay is stopping")

    def _abort(self) -> None:
        self._timer = None
        for protocol in list(self._open):
            protocol.transport.abortConnection()

    def _sweep(self) -> None:
        now = self.clock.seconds()
        for protocol in list(self._open):
            protocol.check(now)
        self._timer = self.clock.callLater(_SWEEP, self._sweep) if self._open else None
