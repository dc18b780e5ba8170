"""Drivers that run scripts through the whole listening side: in memory, and over a real socket."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from twisted.internet.defer import Deferred

from harness.waiting import PATIENCE
from mta.inbound.login import LoginPolicy
from mta.inbound.policy import Client
from mta.inbound.protocol import SmtpServerProtocol
from mta.inbound.sockets.port_rule import SUBMISSION_PORT
from mta.message.envelope import Envelope
from mta.queue.interface import Claim, NewMail
from mta.queue.memory import MemoryQueue
from mta.smtp.address import Address
from mta.smtp.limits import STRICT, SmtpLimits
from mta.smtp.replies import Reply, reply
from mta.smtp.server import canned_replies
from tests.dialogues.script import LENIENCY, PASSWORD, USER, Happen, unescape
from tests.drivers.listener import Listening, Wire

REFUSED = reply(550, "5.7.1", "not permitted")
LATER = reply(451, "4.3.0", "try later")


class Gate:
    """Lets verdicts through at once, or keeps them until it is opened."""

    def __init__(self) -> None:
        self.received = 0
        self._kept: list[Callable[[], object]] | None = None

    def shut(self) -> None:
        self._kept = []

    def open(self) -> None:
        kept, self._kept = self._kept, None
        for verdict in kept or []:
            verdict()

    def __call__(self, verdict: Callable[[], object]) -> None:
        if self._kept is None:
            verdict()
        else:
            self._kept.append(verdict)


class ScriptPolicy:
    """The policy that the scripts are written for; every recipient is decided by a look-up, which may be late."""

    def sender(self, client: Client, address: Address | None) -> Reply:
        return REFUSED if address is not None and address.domain == "refused.test" else canned_replies.SENDER_OK

    def recipient(self, client: Client, address: Address, sender: Address | None) -> Reply | None:
        return None

    def look_up(self, domain: str) -> Reply:
        return {"refused.test": REFUSED, "later.test": LATER}.get(domain, canned_replies.RECIPIENT_OK)


class GatedQueue(MemoryQueue):
    """Keeps the stored messages for the script to examine; the gate delays the sync."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate
        self.stored: list[tuple[Envelope, bytes]] = []

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        adding = super().add(mail, now, lease, due)
        self.stored.append((mail.envelope, b"".join(mail.body.chunks())))
        done: Deferred[None] = Deferred()
        self._gate(lambda: done.callback(None))
        return done.addCallback(lambda _: adding)


def gated(protocol: SmtpServerProtocol, gate: Gate) -> SmtpServerProtocol:
    """Have a protocol greet when the gate is open, and count the octets that come in."""
    receive, greet = protocol.dataReceived, protocol.greet

    def count_and_receive(data: bytes) -> None:
        gate.received += len(data)
        receive(data)

    # A compiled class cannot be the base of another.
    protocol.dataReceived = count_and_receive  # type: ignore[method-assign]
    protocol.greet = lambda: gate(greet)  # type: ignore[method-assign]
    return protocol


def listening(opening: dict[str, str], gate: Gate) -> tuple[Listening, GatedQueue]:
    """Build the listening side that a script asks for."""
    limits = {
        name: int(number) for name, _, number in (item.partition("=") for item in opening.get("limits", "").split())
    }
    queue = GatedQueue(gate)
    policy = ScriptPolicy()
    logins = opening.get("logins", "").split()
    parts = Listening(
        replace(SmtpLimits(), **limits),
        queue,
        starttls="starttls" in opening,
        leniency=LENIENCY if "lenient" in opening else STRICT,
        users=f"{USER}:{{PLAIN}}{PASSWORD}" if "logins" in opening else "",
        logins=LoginPolicy(on_relay_port=True, in_clear="in_clear" in logins),
    )
    if "required" in logins:
        parts.rule = SUBMISSION_PORT
    parts.policy = policy
    parts.check_domain = lambda domain, done, _choice: gate(lambda: done(policy.look_up(domain)))
    parts.protocol = lambda *arguments: gated(SmtpServerProtocol(*arguments), gate)
    if "greeting" in opening:
        gate.shut()
    return parts, queue


class ListeningDriver:
    """The common part of the two drivers: verdicts, and the stored messages."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.queue: GatedQueue

    def happen(self, event: Happen) -> None:
        name = f"{event.name}_{event.argument}" if event.name in ("verdict", "connection") else event.name
        getattr(self, f"do_{name}")(event.argument)

    def do_messages(self, number: str) -> None:
        assert len(self.queue.stored) == int(number)

    def do_body(self, text: str) -> None:
        assert self.queue.stored[-1][1].endswith(unescape(text))

    def do_envelope(self, addresses: str) -> None:
        envelope, _ = self.queue.stored[-1]
        found = [str(envelope.sender or "<>"), *(str(each.address) for each in envelope.recipients)]
        assert found == addresses.split()


class MemoryDriver(ListeningDriver):
    """The listener on a transport in memory."""

    def open(self, opening: dict[str, str]) -> None:
        parts, self.queue = listening(opening, self.gate)
        parts.factory.certificate = object()
        self.wire: Wire = parts.connect(opening.get("client", "127.0.0.1"))
        self._said = ""

    def send(self, data: bytes) -> None:
        self.wire.protocol.dataReceived(data)

    def reply(self) -> list[str]:
        self._said += self.wire.heard()
        lines = []
        while self._said:
            line, _, self._said = self._said.partition("\r\n")
            lines.append(line)
            if line[3] == " ":
                break
        return lines

    def unread(self) -> str:
        self._said += self.wire.heard()
        return self._said

    def do_verdict_pending(self, _: str) -> None:
        self.gate.shut()

    def do_verdict_given(self, _: str) -> None:
        self.gate.open()

    def do_tls(self, _: str) -> None:
        assert self.wire.transport.tls_options is not None
        self.wire.protocol.handshakeCompleted()

    def do_connection_lost(self, _: str) -> None:
        self.wire.protocol.connectionLost()

    def do_connection_half_closed(self, _: str) -> None:
        self.wire.protocol.readConnectionLost()

    def do_connection_closed(self, _: str) -> None:
        assert not self.wire.open


class SocketDriver(ListeningDriver):
    """A blocking client of a listener that a reactor in another thread runs (`call` runs a callable there)."""

    def __init__(self, call: Callable[[Callable[[], object]], object], serve: Callable[[Listening], int]) -> None:
        super().__init__()
        self._call = call
        self._serve = serve

    def open(self, opening: dict[str, str]) -> None:
        def build() -> int:
            parts, self.queue = listening(opening, self.gate)
            return self._serve(parts)

        port = self._call(build)
        assert isinstance(port, int)
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._sent = 0
        self._tls_due = False

    def send(self, data: bytes) -> None:
        # A server that has hung up reads no more; its earlier octets are still to be read.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)
            self._sent += len(data)

    def _heard(self) -> bytes:
        """Return the next octets; b"" if the server has hung up, even with unread octets on its side."""
        try:
            return self._socket.recv(65536)
        except ConnectionResetError:
            return b""

    def reply(self) -> list[str]:
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            while b"\r\n" not in self._received:
                data = self._heard()
                if not data:
                    return lines
                self._received += data
            line, _, self._received = self._received.partition(b"\r\n")
            lines.append(line.decode())
        self._tls_due = "ready to start TLS" in lines[-1]
        return lines

    def unread(self) -> str:
        return self._received.decode()

    def close(self) -> None:
        self._socket.close()

    def do_verdict_pending(self, _: str) -> None:
        self._call(self.gate.shut)

    def do_verdict_given(self, _: str) -> None:
        """The verdict comes when all earlier octets have arrived; each look costs a turn of the reactor."""
        while self._call(lambda: self.gate.received < self._sent):
            pass
        self._call(self.gate.open)

    def do_tls(self, _: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket = context.wrap_socket(self._socket)

    def do_connection_lost(self, _: str) -> None:
        self._socket.close()

    def do_connection_half_closed(self, _: str) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def do_connection_closed(self, _: str) -> None:
        """The server has hung up; the TLS alert of a failed handshake is not a reply."""
        while data := self._heard():
            assert self._tls_due, f"after the end the server said {data!r}"

    def do_messages(self, number: str) -> None:
        assert self._call(lambda: len(self.queue.stored)) == int(number)


class ReactorThread:
    """Runs callables in the reactor's thread on behalf of a blocking client."""

    def __init__(self, reactor: object) -> None:
        self._reactor = reactor

    def __call__(self, work: Callable[[], object]) -> object:
        done = threading.Event()
        result: list[object] = []

        def run() -> None:
            try:
                result.append(work())
            finally:
                done.set()

        self._reactor.callFromThread(run)  # type: ignore[attr-defined]
        assert done.wait(PATIENCE)
        return result[0] if result else None
