"""Tests the note that is on disk before the last octet of a message is sent."""

from dataclasses import replace

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from harness import mail
from mta.delivery.remote.in_flight import QueueInFlightLog
from mta.delivery.remote.interface import Connection, DeliveryRequest
from mta.event_log.log import EventLog
from mta.message.body import MemoryBody
from mta.message.outcome import Delivered, TryLater
from mta.queue.interface import QueueError
from mta.queue.memory import MemoryQueue
from tests.drivers.connector_case import TAKEN, Case, request
from tests.fakes.memory_reactor import Wire

LARGE = MemoryBody((b"y" * 70 + b"\r\n") * 8000)


class NotedOnDemandTests(Case):
    """Transactions whose notes are on disk when a test says so: the case is its own InFlightLog."""

    def setUp(self) -> None:
        super().setUp()
        self.notes: list[tuple[DeliveryRequest, Deferred[object]]] = []

    def note_in_flight(self, request: DeliveryRequest) -> "Deferred[object]":
        done: Deferred[object] = Deferred()
        self.notes.append((request, done))
        return done

    def on_disk(self) -> None:
        _, done = self.notes.pop()
        done.callback(None)

    def refused(self) -> None:
        _, done = self.notes.pop()
        done.errback(QueueError("the disk is full"))

    def connection(self, **options: object) -> tuple[Connection, Wire]:
        return self.ready(in_flight=self, **options)

    def streamed(self, wire: Wire) -> bytes:
        """Return the part of the body that is sent before the note is on disk."""
        while wire.producer is not None:
            wire.producer.resumeProducing()
        return wire.heard()

    # A body that goes out at once

    def test_no_command_is_sent_before_the_note_is_on_disk(self) -> None:
        connection, wire = self.connection()
        given = request()
        delivering = connection.deliver(given)
        self.assertEqual((wire.heard(), connection.usable), (b"", False))
        self.assertIs(self.notes[0][0], given)
        self.on_disk()
        self.assertTrue(wire.heard().endswith(mail.BODY))
        wire.says(*TAKEN)
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)

    def test_a_message_that_cannot_be_noted_is_not_sent_and_the_connection_stays_usable(self) -> None:
        connection, wire = self.connection()
        delivering = connection.deliver(request("a@b.test", "b@b.test"))
        self.refused()
        outcomes = self.successResultOf(delivering).outcomes
        self.assertEqual([type(each) for each in outcomes.values()], [TryLater, TryLater])
        self.assertIn("cannot note it: the disk is full", outcomes[0].text)
        self.assertEqual((wire.heard(), connection.usable), (b"", True))

    def test_a_new_connection_that_is_lost_while_the_note_is_written_is_a_failed_attempt(self) -> None:
        connection, wire = self.connection()
        delivering = connection.deliver(request())
        wire.lost()
        self.assertEqual(self.successResultOf(delivering).outcomes[0].text, "connection lost")
        self.on_disk()
        self.assertEqual(wire.heard(), b"")

    def test_a_used_connection_that_is_lost_while_the_note_is_written_was_stale(self) -> None:
        connection, wire = self.connection()
        connection.deliver(request())
        self.on_disk()
        wire.says(*TAKEN)
        delivering = connection.deliver(request())
        wire.says("421 4.3.2 too long idle")
        self.assertTrue(self.successResultOf(delivering).stale)
        self.on_disk()

    def test_a_message_whose_note_is_being_written_is_sent_before_quit(self) -> None:
        connection, wire = self.connection()
        delivering = connection.deliver(request())
        connection.quit()
        self.assertEqual(wire.heard(), b"")
        self.on_disk()
        wire.heard()
        wire.says(*TAKEN)
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)
        self.assertEqual(wire.heard(), b"QUIT\r\n")

    def test_abort_does_not_wait_for_the_note(self) -> None:
        connection, wire = self.connection()
        delivering = connection.deliver(request())
        connection.abort()
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], TryLater)
        self.on_disk()
        self.assertEqual(wire.heard(), b"")

    # A body that is streamed

    def streaming(self, *, bdat: bool) -> "tuple[Deferred[object], Connection, Wire]":
        connection, wire = self.connection(bdat=bdat)
        delivering = connection.deliver(request(body=LARGE))
        self.assertEqual(self.notes, [])
        wire.says("250 ok", "250 ok", *(() if bdat else ("354 go",)))
        return delivering, connection, wire

    def test_the_last_piece_of_a_large_body_waits_for_the_note(self) -> None:
        for bdat in (True, False):
            delivering, connection, wire = self.streaming(bdat=bdat)
            before = self.streamed(wire)
            self.assertNotIn(b"\r\n.\r\n", before)
            self.assertEqual(len(self.notes), 1)
            # However long the disk takes, it is not the remote's fault.
            self.net.advance(3600)
            self.on_disk()
            after = wire.heard()
            sent = (before + after).partition(b"LAST\r\n" if bdat else b"DATA\r\n")[2]
            self.assertGreater(len(after), 0)
            self.assertEqual(sent, LARGE.data + (b"" if bdat else b".\r\n"))
            wire.says("250 taken")
            self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)
            self.assertTrue(connection.usable)

    def test_a_large_body_that_cannot_be_noted_is_never_ended(self) -> None:
        for bdat in (True, False):
            delivering, _, wire = self.streaming(bdat=bdat)
            self.streamed(wire)
            self.refused()
            self.assertIn("cannot note it", self.successResultOf(delivering).outcomes[0].text)
            self.assertEqual((wire.heard(), wire.aborting), (b"", True))

    def test_a_refusal_of_the_body_counts_while_the_note_is_written(self) -> None:
        delivering, _, wire = self.streaming(bdat=False)
        self.streamed(wire)
        wire.says("552 5.3.4 too large")
        self.assertEqual(self.successResultOf(delivering).outcomes[0].text, "552 5.3.4 too large")
        self.on_disk()
        self.assertEqual(wire.heard(), b"")


class QueueInFlightLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.queue = MemoryQueue()
        self.lines: list[str] = []
        self.in_flight = QueueInFlightLog(self.queue, EventLog(self.lines.append, lambda: 0.0))

    def test_the_first_note_logs_no_duplicate(self) -> None:
        given = request()
        self.successResultOf(self.in_flight.note_in_flight(given))
        self.assertEqual(self.lines, [])
        self.assertEqual(self.successResultOf(self.queue.note_in_flight(given.id, [0])), {0})

    def test_a_recipient_that_was_noted_and_never_settled_is_logged(self) -> None:
        given = request("a@b.test", "b@b.test")
        self.successResultOf(self.queue.note_in_flight(given.id, [1]))
        self.successResultOf(self.in_flight.note_in_flight(given))
        (line,) = self.lines
        self.assertIn(f" possible-duplicate id={given.id} to=<b@b.test> ", line)
        self.assertIn("possible duplicate", line)

    def test_a_recipient_that_was_noted_and_never_sent_is_not_logged(self) -> None:
        given = request()
        self.successResultOf(self.in_flight.note_in_flight(given))
        self.successResultOf(self.in_flight.note_in_flight(replace(given, unsent=frozenset((0,)))))
        self.assertEqual(self.lines, [])
        self.successResultOf(self.in_flight.note_in_flight(given))
        self.assertEqual(len(self.lines), 1)

    def test_a_queue_that_cannot_write_the_note_fails(self) -> None:
        self.successResultOf(succeed(self.queue.close()))
        self.failureResultOf(self.in_flight.note_in_flight(request()), QueueError)
