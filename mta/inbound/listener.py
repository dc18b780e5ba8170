"""The Twisted edge of listening: pumps sessions, keeps their time, and stops reading from whoever does not read us."""

from collections.abc import Callable
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.inbound.policy import Client, Door
from mta.inbound.session import Session
from mta.inbound.tls import describe, failure_words
from mta.ops.journal import Journal
from mta.smtp.limits import Limits
from mta.smtp.replies import Reply, reply
from mta.wire.prompt import PromptWriter

TIMEOUT = reply(421, "4.4.2", "Too slow, closing the connection")
STOPPING = reply(421, "4.3.2", "The service is stopping, please try again later")

#: Input that may wait for an answer before we stop reading from the client.
_MUCH_INPUT = 65536
#: Octets read at once from a body that comes in more than one piece. Twisted's 64 KiB make twice as many turns of the
#: reactor, a tenth of what such a body costs (measured).
_BODY_READ = 131072
#: Seconds between two looks at all sessions for those whose time is up.
_SWEEP = 5.0
#: Seconds for clients to take our last words when we stop.
_GOODBYE = 3.0
#: Seconds for which the input of a session that we ended is read and dropped.
_LINGER = 5.0


class NewSession(TypingProtocol):
    """Makes the session of a client that was let in."""

    def __call__(self, client: Client, late: Callable[[], None]) -> Session:
        """Return a session; it calls `late` when an answer comes after it went back to its driver."""


@implementer(IPushProducer, IHandshakeListener)
class ESMTP(Protocol):
    """One connection. As a producer it is told when the client does not read our replies."""

    transport: Connection

    def __init__(self, client: Client, listener: "ESMTPFactory") -> None:
        self.client = client
        self.listener = listener
        self.session: Session | None = None
        self._writer: PromptWriter
        #: When the time for what the client has to do next is up, on the reactor's clock.
        self.deadline = 0.0
        self._pace_since = 0.0
        self._pace_octets = 0
        self._unread = False
        self._crowded = False
        # Whether our last words are out and only the client's end of the connection is waited for.
        self._closing = False

    def connectionMade(self) -> None:
        """Greet, or turn the client away."""
        listener = self.listener
        refusal = listener.enter(self)
        if refusal is not None:
            listener.journal.turned_away(self.client.address, refusal)
            self.transport.write(refusal.wire)
            self.transport.loseConnection()
            return
        self._writer = PromptWriter(self.transport)
        self.transport.registerProducer(self, True)
        self.session = listener.new_session(self.client, self._late)
        self.greet()

    def greet(self) -> None:
        """Say who we are. A client that speaks before is heard out and shut out."""
        if self.session is not None:
            self.session.machine.answer(self.listener.greeting)
            self._late()

    def handshakeCompleted(self) -> None:
        """TLS is on: nothing of what was said in clear counts any more (RFC 3207 section 4.2)."""
        if self.session is not None:
            self.session.tls_started(describe(self.transport))

    def dataReceived(self, data: bytes) -> None:
        """Feed the session."""
        session = self.session
        if session is None or self._closing:
            return
        in_body = session.in_body
        session.receive(data)
        if in_body and session.in_body:
            self.deadline = self.listener.clock.seconds() + self.listener.limits.data_timeout
            self.transport.bufferSize = _BODY_READ
        self._progress()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let the session forget what was under way."""
        session, self.session = self.session, None
        if session is not None:
            self.listener.leave(self)
            session.lost(failure_words(reason))

    def pauseProducing(self) -> None:
        """The client does not read: it gets no more answers, so we take no more commands."""
        self._unread = True
        self.deadline = self.listener.clock.seconds() + self.listener.limits.write_timeout
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read what we said."""
        self._unread = False
        self._new_deadline()
        if not self._crowded:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Nothing is owed to a connection that ends; `connectionLost` follows."""

    def check(self, now: float) -> None:
        """End the session if its time is up, or if a body comes in slower than it must."""
        session = self.session
        if session is None or session.storing:
            return
        late = now >= self.deadline
        if late and (self._unread or self._closing):
            self.transport.abortConnection()
        elif late or (session.in_body and self._too_slow(session, now)):
            self.end(TIMEOUT, "timeout")

    def end(self, last_words: Reply, reason: str) -> None:
        """End the session; a verdict on a stored message comes first, or the client would send it again."""
        session = self.session
        if session is not None and not session.storing and not self._closing:
            session.machine.close(last_words, reason)
            session.run()
            self._progress()

    def _late(self) -> None:
        """An answer came after its time: go on with what the client sent meanwhile."""
        if self.session is not None:
            self.session.run()
            self._progress()
            if self.listener.stopping:
                self.end(STOPPING, "the relay is stopping")

    def _progress(self) -> None:
        """Send what there is to say; with each answer the client's time begins anew."""
        session = self.session
        if session is None:
            return
        outgoing = session.machine.to_send()
        if outgoing:
            self._writer.write(outgoing)
            if not self._unread:
                self._new_deadline()
        if session.closed:
            self._close(session)
        elif session.tls_due and self.listener.certificate is not None:
            session.tls_due = False
            self._writer.start_tls(self.listener.certificate)
        elif (session.waiting and session.machine.buffered > _MUCH_INPUT) is not self._crowded:
            self._crowd()

    def _close(self, session: Session) -> None:
        """Close. A client that did not ask for it may still be sending: closing on its input would reset the
        connection and take our last words with it, so only our half is closed and the rest is read and dropped.
        """
        self._closing = True
        self.transport.unregisterProducer()
        # Under TLS there are no halves: the last words of that layer would be cut off.
        if session.said_goodbye or getattr(self.transport, "TLS", False):
            self._writer.close()
        else:
            self.deadline = self.listener.clock.seconds() + _LINGER
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()

    def _crowd(self) -> None:
        self._crowded = not self._crowded
        if self._crowded:
            self.transport.pauseProducing()
        elif not self._unread:
            self.transport.resumeProducing()

    def _new_deadline(self) -> None:
        session, limits = self.session, self.listener.limits
        now = self.listener.clock.seconds()
        if session is not None and session.in_body:
            self.deadline = now + limits.data_timeout
            self._pace_since, self._pace_octets = now, session.octets
        else:
            self.deadline = now + limits.command_timeout

    def _too_slow(self, session: Session, now: float) -> bool:
        limits = self.listener.limits
        if now - self._pace_since < limits.data_rate_window:
            return False
        slow = session.octets - self._pace_octets < limits.data_rate * (now - self._pace_since)
        self._pace_since, self._pace_octets = now, session.octets
        return slow


class ESMTPFactory(Factory):
    """Makes a protocol for each connection and keeps them all in view."""

    noisy = False

    def __init__(
        self,
        new_session: NewSession,
        trusted: Callable[[str], bool],
        journal: Journal,
        *,
        name: str,
        limits: Limits,
        clock: IReactorTime,
        certificate: IOpenSSLServerConnectionCreator | None = None,
    ) -> None:
        """`certificate` is what STARTTLS uses; whoever gives it also has the sessions offer STARTTLS."""
        self.certificate = certificate
        self.new_session = new_session
        self.journal = journal
        self.limits = limits
        self.clock = clock
        self.greeting = reply(220, "", f"{name} ESMTP smtprelay")
        self._trusted = trusted
        self._door = Door(limits)
        self._open: set[ESMTP] = set()
        self._sweeper: IDelayedCall | None = None
        # What `stop` gave, while someone is still here.
        self._gone: Deferred[None] | None = None
        #: Whether sessions are to end as soon as they can.
        self.stopping = False

    def buildProtocol(self, addr: IAddress | None) -> ESMTP:
        """Return the protocol for a client at this address; an IPv4 client on an IPv6 socket keeps its IPv4 name."""
        address = str(getattr(addr, "host", "")).removeprefix("::ffff:").partition("%")[0]
        return ESMTP(Client(address, self._trusted(address)), self)

    def enter(self, protocol: ESMTP) -> Reply | None:
        """Let a connection in and return None, or return why not."""
        refusal = STOPPING if self.stopping else self._door.enter(protocol.client)
        if refusal is None:
            self._open.add(protocol)
            if self._sweeper is None:
                self._sweeper = self.clock.callLater(_SWEEP, self._sweep)
        return refusal

    def leave(self, protocol: ESMTP) -> None:
        """A connection that was let in is gone."""
        self._door.leave(protocol.client)
        self._open.discard(protocol)
        if self._gone is not None and not self._open:
            gone, self._gone = self._gone, None
            gone.callback(None)

    def stop(self) -> "Deferred[None]":
        """Say goodbye to everyone, and fire when all are gone or had time enough to read it."""
        self.stopping = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for protocol in list(self._open):
            protocol.end(STOPPING, "the relay is stopping")
        gone: Deferred[None] = Deferred()
        if self._open:
            self._gone = gone
            timer = self.clock.callLater(_GOODBYE, self._abort)
            gone.addCallback(lambda _: timer.cancel() if timer.active() else None)
        else:
            gone.callback(None)
        return gone

    def _abort(self) -> None:
        for protocol in list(self._open):
            protocol.transport.abortConnection()

    def _sweep(self) -> None:
        now = self.clock.seconds()
        for protocol in list(self._open):
            protocol.check(now)
        self._sweeper = self.clock.callLater(_SWEEP, self._sweep) if self._open else None
