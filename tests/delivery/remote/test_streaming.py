"""Tests how a body that is too large for one write is streamed."""

from collections.abc import Iterator
from typing import Any

from mta.delivery.remote.commands import ONE_WRITE_BYTES
from mta.delivery.remote.interface import Connection
from mta.message.body import CHUNK_BYTES, MemoryBody
from mta.message.outcome import Delivered, TryLater
from tests.drivers.connector_case import Case, request
from tests.fakes.memory_reactor import Wire


class FailingBody:
    size = ONE_WRITE_BYTES * 2

    def chunks(self) -> Iterator[bytes]:
        yield b"x" * 100
        raise OSError(5, "Input/output error")


class LargeBodyTests(Case):
    LARGE = MemoryBody((b"y" * 70 + b"\r\n") * 8000)

    def streaming(self, body: Any, **options: Any) -> tuple[Any, Connection, Wire]:
        connection, wire = self.ready(**options)
        delivering = connection.deliver(request(body=body))
        wire.heard()
        wire.says("250 ok", "250 ok", *([] if options.get("bdat", True) else ["354 go"]))
        return delivering, connection, wire

    def test_the_body_follows_the_recipients_in_pieces_as_the_transport_asks(self) -> None:
        delivering, connection, wire = self.streaming(self.LARGE)
        sent = wire.heard().removeprefix(b"BDAT %d LAST\r\n" % self.LARGE.size)
        self.assertFalse(wire.streaming)
        while wire.producer is not None:
            wire.producer.resumeProducing()
            piece = wire.heard()
            self.assertLessEqual(len(piece), CHUNK_BYTES)
            sent += piece
        self.assertEqual(sent, self.LARGE.data)
        wire.says("250 2.0.0 taken")
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)
        self.assertTrue(connection.usable)

    def test_the_body_after_data_ends_with_a_dot(self) -> None:
        _, _, wire = self.streaming(self.LARGE, bdat=False)
        sent = b""
        while wire.producer is not None:
            wire.producer.resumeProducing()
            sent += wire.heard()
        self.assertEqual(sent, self.LARGE.data + b".\r\n")

    def test_a_remote_that_takes_no_more_of_the_body_times_out(self) -> None:
        delivering, _, wire = self.streaming(self.LARGE)
        self.net.advance(170)
        wire.producer.resumeProducing()
        self.net.advance(170)
        self.assertNoResult(delivering)
        self.net.advance(10)
        outcome = self.successResultOf(delivering).outcomes[0]
        self.assertEqual(outcome.text, "took no more of the body for 180 seconds")
        self.assertTrue(wire.aborting)

    def test_a_body_that_cannot_be_read_to_its_end_is_never_ended(self) -> None:
        for bdat in (True, False):
            delivering, _, wire = self.streaming(FailingBody(), bdat=bdat)
            wire.producer.resumeProducing()
            wire.producer.resumeProducing()
            outcome = self.successResultOf(delivering).outcomes[0]
            self.assertEqual((type(outcome), outcome.status), (TryLater, "4.3.0"))
            self.assertTrue(wire.aborting)
            self.assertNotIn(b"\r\n.\r\n", wire.heard())

    def test_a_body_shorter_than_announced_is_never_ended(self) -> None:
        class Short(FailingBody):
            def chunks(self) -> Iterator[bytes]:
                yield b"x\r\n"

        delivering, _, wire = self.streaming(Short(), bdat=False)
        wire.producer.resumeProducing()
        wire.producer.resumeProducing()
        self.assertIn("3 octets instead of", self.successResultOf(delivering).outcomes[0].text)
        self.assertTrue(wire.aborting)

    def test_a_refusal_in_the_middle_stops_the_body(self) -> None:
        delivering, connection, wire = self.streaming(self.LARGE)
        producer = wire.producer
        producer.resumeProducing()
        wire.says("552 5.3.4 too big")
        self.assertEqual(self.successResultOf(delivering).outcomes[0].status, "5.3.4")
        self.assertFalse(connection.usable)
        self.assertIsNone(wire.producer)
        wire.heard()
        producer.resumeProducing()
        self.assertEqual(wire.heard(), b"")

    def test_a_connection_lost_in_the_middle_of_the_body_is_reported_as_lost(self) -> None:
        delivering, _, wire = self.streaming(self.LARGE)
        wire.producer.resumeProducing()
        wire.lost()
        self.assertEqual(
            self.successResultOf(delivering).outcomes[0].text, "connection lost before the reply to end of data"
        )
