"""The prompt writer: output goes out in the same turn, complete and in order, with and without TLS."""

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mta.tls.prompt_writer import PromptWriter
from tests.drivers.connection_ends import LEAF, End, ServerTls, client_tls, connect


class Receiver(Protocol):
    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.data = bytearray()
        self.complete: Deferred[bytes] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if len(self.data) >= self.expected and not self.complete.called:
            self.complete.callback(bytes(self.data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self.lost.callback(None)


class PromptWriterTests(TestCase):
    async def pair(self, expected: int) -> tuple[Protocol, Receiver]:
        receiver = Receiver(expected)
        server = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await server.listen(Factory.forProtocol(lambda: receiver))
        self.addCleanup(port.stopListening)
        sender = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), Protocol())
        self.addCleanup(sender.transport.abortConnection)
        return sender, receiver

    async def test_short_lines_go_out_without_the_reactor_watching_the_socket(self) -> None:
        sender, receiver = await self.pair(10)
        writer = PromptWriter(sender.transport)
        writer.write(b"hello")
        writer.write(b"world")
        assert sender.transport not in reactor.getWriters()
        assert await receiver.complete == b"helloworld"

    async def test_more_than_the_socket_takes_arrives_whole_and_in_order(self) -> None:
        pieces = [bytes([65 + number]) * 1_000_000 for number in range(5)]
        sender, receiver = await self.pair(5_000_000)
        writer = PromptWriter(sender.transport)
        for piece in pieces:
            writer.write(piece)
        assert await receiver.complete == b"".join(pieces)

    async def test_after_giving_way_the_order_is_kept(self) -> None:
        sender, receiver = await self.pair(2_000_005)
        writer = PromptWriter(sender.transport)
        writer.leave_to_reactor()
        sender.transport.write(b"x" * 2_000_000)
        writer.write(b"after")
        assert (await receiver.complete).endswith(b"xafter")

    async def test_nothing_goes_around_tls(self) -> None:
        sender, receiver = await self.pair(1)
        writer = PromptWriter(sender.transport)
        sender.transport.startTLS(LEAF.server_options())
        writer.write(b"secret secret secret")
        receiver.transport.write(b"no handshake")
        await receiver.lost
        assert b"secret" not in receiver.data

    async def test_a_connection_without_waiting_output_is_closed_at_once_after_the_last_write(self) -> None:
        sender, receiver = await self.pair(7)
        writer = PromptWriter(sender.transport)
        writer.write(b"goodbye")
        writer.close()
        assert sender.transport not in reactor.getReaders()
        assert sender.transport.disconnected
        assert await receiver.complete == b"goodbye"

    async def test_closing_waits_for_output_that_the_socket_did_not_take(self) -> None:
        sender, receiver = await self.pair(5_000_000)
        writer = PromptWriter(sender.transport)
        writer.write(b"x" * 5_000_000)
        writer.close()
        assert await receiver.complete == b"x" * 5_000_000

    async def test_writing_to_a_connection_that_is_closed_harms_nothing(self) -> None:
        sender, _ = await self.pair(1)
        writer = PromptWriter(sender.transport)
        writer.close()
        writer.write(b"too late")
        writer.close()


def test_a_transport_in_memory_is_written_to_and_closed_as_usual() -> None:
    transport = StringTransport()
    writer = PromptWriter(transport)
    writer.write(b"hello")
    writer.close()
    assert transport.value() == b"hello"
    assert transport.disconnecting


class TlsTests(TestCase):
    async def pair(self, awaited: int) -> tuple[End, End]:
        sender, receiver = End(client_tls()), End(ServerTls(), awaited)
        await connect(self, sender, receiver)
        return sender, receiver

    async def test_short_lines_go_out_under_tls_without_the_reactor_watching_the_socket(self) -> None:
        sender, receiver = await self.pair(10)
        for data in (b"hello", b"world"):
            sender.writer.write(data)
            assert sender.transport not in reactor.getWriters()
        assert await receiver.complete == b"helloworld"

    async def test_both_ends_hear_each_other_in_turns(self) -> None:
        sender, receiver = await self.pair(3)
        sender.writer.write(b"abc")
        assert await receiver.complete == b"abc"
        sender.awaited = 3
        receiver.writer.write(b"def")
        assert await sender.complete == b"def"

    async def test_more_than_the_socket_takes_arrives_under_tls_whole_and_in_order(self) -> None:
        pieces = [bytes([65 + number]) * 300_000 for number in range(50)]
        sender, receiver = await self.pair(15_000_000)
        for piece in pieces:
            sender.writer.write(piece)
            # The receiver reads in between, so that the socket has room while older octets wait in the transport.
            await deferLater(reactor, 0)
        assert await receiver.complete == b"".join(pieces)

    async def test_after_giving_way_the_order_is_kept_under_tls(self) -> None:
        sender, receiver = await self.pair(2_000_010)
        sender.writer.write(b"first")
        sender.writer.leave_to_reactor()
        sender.transport.write(b"x" * 2_000_000)
        sender.writer.write(b"after")
        assert await receiver.complete == b"first" + b"x" * 2_000_000 + b"after"

    async def test_the_last_output_under_tls_arrives_before_the_end(self) -> None:
        sender, receiver = await self.pair(7)
        sender.writer.write(b"goodbye")
        sender.writer.close()
        assert await receiver.complete == b"goodbye"
