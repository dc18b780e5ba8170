"""The TLS layer: half-closed connections, large bodies, and connections that end without close_notify."""

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.drivers.connection_ends import End, ServerTls, client_tls, connect


class Watched(SSL.Connection):
    """Notes how many octets are put into its memory BIO at once."""

    largest = 0

    def bio_write(self, buf: Any) -> int:
        self.largest = max(self.largest, len(buf))
        return super().bio_write(buf)


@implementer(IHalfCloseableProtocol)
class Patient(End):
    """Goes on after the end of its input: says so, and closes."""

    def readConnectionLost(self) -> None:
        self.writer.write(b"all heard")
        self.writer.close()

    def writeConnectionLost(self) -> None:
        pass


class LayerTests(TestCase):
    async def pair(self, kind: type[End]) -> tuple[End, End]:
        self.options = ServerTls(Watched)
        client, server = End(client_tls()), kind(self.options)
        await connect(self, client, server)
        return client, server

    async def test_a_large_body_goes_through_a_small_buffer(self) -> None:
        client, server = await self.pair(End)
        server.transport.bufferSize = 131_072
        server.awaited = 1_000_000
        client.writer.write(b"x" * 1_000_000)
        assert await server.complete == b"x" * 1_000_000
        assert self.options.made.largest <= 16384

    async def test_a_protocol_that_knows_half_closed_connections_answers_after_the_end_of_its_input(self) -> None:
        client, _ = await self.pair(Patient)
        client.transport.getHandle().shutdown()
        client.transport.protocol._flushSendBIO()
        await client.ended
        assert client.received == b"all heard"

    async def test_any_other_protocol_gets_connection_lost(self) -> None:
        client, server = await self.pair(End)
        client.writer.write(b"goodbye")
        client.writer.close()
        await server.ended
        assert server.received == b"goodbye"

    async def test_a_connection_that_ends_without_close_notify_is_lost(self) -> None:
        client, server = await self.pair(End)
        client.transport.socket.shutdown(1)
        await server.ended
