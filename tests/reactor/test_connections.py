"""Connections in the relay's reactor, in clear and inside TLS: pauses of both directions, and ends at each point."""

from typing import ClassVar

from twisted.internet import reactor
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.drivers.connection_ends import End, ServerTls, client_tls, connect

BODY = bytes(range(256)) * 8192


@implementer(IPushProducer)
class Producer(End):
    """An end that writes as fast as the other end reads."""

    def __init__(self, options: object | None) -> None:
        super().__init__(options, len(BODY))
        self.pauses = 0
        self.to_write = b""
        self.writing = False

    def produce(self, data: bytes) -> None:
        """Write so much of the data as the other end takes, and the rest when it takes more."""
        self.to_write = data
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.writing = True
        while self.writing and self.to_write:
            piece, self.to_write = self.to_write[:10_000], self.to_write[10_000:]
            self.transport.write(piece)
        if not self.to_write:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.pauses += 1
        self.writing = False

    def stopProducing(self) -> None:
        self.writing = False
        self.to_write = b""


async def turns(number: int) -> None:
    for _ in range(number):
        await deferLater(reactor, 0)


class ConnectionTests(TestCase):
    secure: ClassVar[bool] = False

    async def pair(self) -> tuple[Producer, Producer]:
        """Return the ends of a connection: the client's and the server's."""
        client = Producer(client_tls() if self.secure else None)
        server = Producer(ServerTls() if self.secure else None)
        await connect(self, client, server)
        return client, server

    async def test_a_paused_end_reads_nothing_and_the_rest_afterwards(self) -> None:
        client, server = await self.pair()
        server.transport.pauseProducing()
        client.produce(BODY)
        await turns(50)
        assert server.received == b""
        server.transport.resumeProducing()
        await server.complete
        assert server.received == BODY

    async def test_an_end_that_pauses_in_each_read_gets_all_octets_in_order(self) -> None:
        client, server = await self.pair()

        def pause(data: bytes) -> None:
            Producer.dataReceived(server, data)
            server.transport.pauseProducing()
            reactor.callLater(0, server.transport.resumeProducing)

        server.dataReceived = pause
        client.produce(BODY)
        await server.complete
        assert server.received == BODY

    async def test_a_producer_is_paused_while_the_other_end_does_not_read_and_goes_on(self) -> None:
        client, server = await self.pair()
        client.transport.pauseProducing()
        client.awaited = 4 * len(BODY)
        server.produce(BODY * 4)
        await turns(50)
        assert server.pauses > 0
        assert server.to_write != b""
        client.transport.resumeProducing()
        await client.complete
        assert client.received == BODY * 4

    async def test_both_ends_send_at_the_same_time(self) -> None:
        client, server = await self.pair()
        client.produce(BODY)
        server.produce(BODY)
        await server.complete
        await client.complete
        assert server.received == client.received == BODY

    async def test_an_end_before_any_octet(self) -> None:
        client, server = await self.pair()
        client.writer.close()
        await server.ended
        assert server.received == b""

    async def test_octets_that_arrive_with_the_end_are_read_first(self) -> None:
        client, server = await self.pair()
        client.writer.write(b"last words")
        client.writer.close()
        await server.ended
        assert server.received == b"last words"

    async def test_a_reset_within_a_body(self) -> None:
        client, server = await self.pair()
        client.produce(BODY)
        await turns(3)
        client.transport.abortConnection()
        await server.ended
        await client.ended

    async def test_a_reset_of_a_connection_whose_other_end_writes(self) -> None:
        client, server = await self.pair()
        client.transport.pauseProducing()
        server.produce(BODY * 4)
        await turns(10)
        client.transport.abortConnection()
        await server.ended
        assert server.to_write == b""

    async def test_a_reset_of_a_connection_whose_other_end_is_paused_is_found_when_it_goes_on(self) -> None:
        client, server = await self.pair()
        server.transport.pauseProducing()
        client.writer.write(b"x")
        client.transport.abortConnection()
        await client.ended
        server.transport.resumeProducing()
        await server.ended

    async def test_an_end_of_its_own_in_a_read(self) -> None:
        client, server = await self.pair()
        server.dataReceived = lambda _: server.transport.abortConnection()
        client.writer.write(b"x")
        await server.ended
        await client.ended


class SecureConnectionTests(ConnectionTests):
    secure = True
