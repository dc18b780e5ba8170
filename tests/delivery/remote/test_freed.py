"""The memory of a connection to a remote host is freed when the connection is down, without a search for garbage.

The search finds old objects after minutes. A relay can make thousands of connections in that time, each with the last
message that went over it.
"""

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.tcp import BaseClient
from twisted.protocols.tls import TLSMemoryBIOProtocol

from harness import certificates
from harness.processes import free_port
from harness.sink import Sink
from harness.sink_rules import Rule
from mta.delivery.remote.connection import SmtpConnection
from mta.delivery.remote.protocol import SmtpClientProtocol
from mta.message.body import FileBody
from mta.message.outcome import TryLater
from mta.routing.route import TlsRule
from mta.smtp.client.machine import ClientMachine
from tests.drivers.connector_case import request
from tests.drivers.loopback_case import LoopbackCase

#: The larger objects of a connection.
PARTS = (SmtpConnection, SmtpClientProtocol, ClientMachine, BaseClient, TLSMemoryBIOProtocol)


def parts() -> Counter[str]:
    """Return how many parts of each class exist."""
    return Counter(type(each).__name__ for each in gc.get_objects() if issubclass(type(each), PARTS))


class FreedTests(LoopbackCase):
    def setUp(self) -> None:
        super().setUp()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.before = parts()

    async def assert_freed(self) -> None:
        """Fail if a part stays until the test's time is over."""
        while parts() - self.before:
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]

    async def send(self, sink: Sink, end: Callable[[Any], object], rule: TlsRule = TlsRule.NONE) -> None:
        connection = await self.open(sink, rule)
        self.assertTrue(parts() - self.before)
        down = self.down()
        await connection.deliver(request())
        end(connection)
        await down

    async def test_after_quit(self) -> None:
        await self.send(self.sink(), SmtpConnection.quit)
        await self.assert_freed()

    async def test_after_the_relay_closed_it(self) -> None:
        await self.send(self.sink(), SmtpConnection.abort)
        await self.assert_freed()

    async def test_after_the_host_closed_it(self) -> None:
        await self.send(self.sink(rules=[Rule(".", "250 taken", close=True)]), lambda _: None)
        await self.assert_freed()

    async def test_after_tls(self) -> None:
        sink = self.sink(tls=self.good_tls())
        for end in (SmtpConnection.quit, SmtpConnection.abort):
            await self.send(sink, end, TlsRule.VERIFY)
            await self.assert_freed()

    async def test_after_a_body_of_many_pieces(self) -> None:
        path = self.folder / "body"
        path.write_bytes(b"line\r\n" * 100_000)
        await self.deliver(self.sink(), FileBody(path, path.stat().st_size))
        await self.assert_freed()

    async def test_after_a_session_that_was_refused(self) -> None:
        refusing = self.sink(rules=[Rule("EHLO", "550 no"), Rule("HELO", "550 no")])
        self.assertIsInstance(await self.open(refusing), TryLater)
        await self.assert_freed()

    async def test_after_a_handshake_that_failed(self) -> None:
        untrusted = self.sink(tls=self.tls(certificates.self_signed(["sink.test"])))
        self.assertIsInstance(await self.open(untrusted, TlsRule.VERIFY), TryLater)
        await self.assert_freed()

    async def test_after_no_connection_was_made(self) -> None:
        nobody = Sink()
        nobody.port = free_port()
        self.assertIsInstance(await self.open(nobody), TryLater)
        # Twisted's transport, of which nothing else is left, keeps itself.
        self.before["Client"] += 1
        await self.assert_freed()
