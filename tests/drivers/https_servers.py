"""HTTPS servers on loopback that play a script, for tests of the client and of its users."""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from harness.certificates import Leaf, authority
from mta.dns.answers import AddressAnswer, Found
from mta.tls.client import TrustAnchors

HOST = "login.example.test"
ROOT = authority()
TRUST = TrustAnchors(ROOT.certificate_pem, system=False)
FOUND = Found(("127.0.0.1",), 60.0, HOST)


class FixedResolver:
    """Gives one answer, and records the questions."""

    def __init__(self, answer: AddressAnswer = FOUND) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bool, bool]] = []

    async def mx(self, name: str) -> Any:
        raise NotImplementedError

    async def txt(self, name: str) -> Any:
        raise NotImplementedError

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:
        self.asked.append((name, ipv6, search))
        return self.answer


class SilentResolver(FixedResolver):
    """Never answers."""

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:
        await Deferred()
        return self.answer


class Script(Protocol):
    """Plays the server's side: records the request, then calls `reply` with itself, once."""

    transport: Any

    def __init__(self, reply: Callable[["Script"], object]) -> None:
        self.reply = reply
        self.heard = b""
        self.replied = False
        self.lost = False
        self.requests = 0
        self.timer: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if not self.replied and b"\r\n\r\n" in self.heard:
            self.replied = True
            self.reply(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True
        if self.timer is not None:
            self.timer.cancel()

    def repeat(self, octets: bytes, seconds: float = 0.0) -> None:
        """Write these octets again and again until the connection is lost."""
        self.transport.write(octets)
        self.timer = reactor.callLater(seconds, self.repeat, octets, seconds)  # type: ignore[attr-defined]


def says(*pieces: bytes, then: str = "") -> Callable[[Script], object]:
    """Return a reply of these octets, after which the connection is closed properly, or cut."""

    def reply(script: Script) -> None:
        for piece in pieces:
            script.transport.write(piece)
        if then == "close":
            script.transport.loseConnection()
        elif then == "cut":
            # The end of the TCP connection without the alert that ends TLS (RFC 8446 section 6.1).
            script.transport.transport.loseConnection()

    return reply


class HttpsServers(TestCase):
    """A test case whose servers stop at its end."""

    def setUp(self) -> None:
        self.scripts: list[Script] = []
        self.resolver = FixedResolver()

    def listen(self, reply: Callable[[Script], object], leaf: Leaf | None) -> int:
        """Serve on a port of loopback and return the port; without a certificate there is no TLS."""

        def build() -> Script:
            self.scripts.append(Script(reply))
            return self.scripts[-1]

        factory = Factory.forProtocol(build)  # type: ignore[arg-type]
        factory.noisy = False
        net: Any = reactor
        if leaf is None:
            port = net.listenTCP(0, factory, interface="127.0.0.1")
        else:
            port = net.listenSSL(0, factory, leaf.server_options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number
