"""Tests the note that is on disk before the last octet of a message is sent."""

from collections.abc import Collection
from dataclasses import replace

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness import mail
from mta.delivery.remote.in_flight import AgingInFlightLog, QueueInFlightLog
from mta.delivery.remote.interface import Connection, DeliveryRequest, IsStale
from mta.event_log.log import EventLog
from mta.message.body import MemoryBody
from mta.message.outcome import Delivered, TryLater
from mta.queue.interface import QueueError, QueueId
from mta.queue.memory import MemoryQueue
from tests.drivers.connector_case import TAKEN, Case, request
from tests.fakes.memory_reactor import Wire

LARGE = MemoryBody((b"y" * 70 + b"\r\n") * 8000)


class NotedOnDemandTests(Case):
    """Transactions whose notes are on disk when a test says so: the case is its own InFlightLog."""

    def setUp(self) -> None:
        super().setUp()
        self.notes: list[tuple[DeliveryRequest, Deferred[IsStale | None]]] = []
        self.notes_again = 0
        #: Whether the notes are stale, if they can be.
        self.stale: bool | None = None

    def note_in_flight(self, request: DeliveryRequest, *, again: bool = False) -> "Deferred[IsStale | None]":
        done: Deferred[IsStale | None] = Deferred()
        self.notes.append((request, done))
        self.notes_again += again
        return done

    def on_disk(self) -> None:
        _, done = self.notes.pop()
        done.callback(None if self.stale is None else lambda: bool(self.stale))

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

    # A note that becomes stale before the body is due

    def noted(self, stale: bool) -> "tuple[Deferred[object], Connection, Wire]":
        """Begin a transaction whose note is fresh, and have the host ask for the body when it is `stale` or not."""
        self.stale = False
        connection, wire = self.connection(bdat=False)
        delivering = connection.deliver(request())
        self.on_disk()
        wire.heard()
        self.stale = stale
        wire.says("250 ok", "250 ok", "354 go")
        return delivering, connection, wire

    def test_a_body_goes_out_at_once_while_its_note_is_fresh(self) -> None:
        _, _, wire = self.noted(stale=False)
        self.assertEqual(wire.heard(), mail.BODY + b".\r\n")
        self.assertEqual(self.notes, [])

    def test_a_body_waits_for_another_note_if_the_first_one_is_stale(self) -> None:
        delivering, connection, wire = self.noted(stale=True)
        self.assertEqual(self.streamed(wire), b"")
        self.assertEqual((len(self.notes), self.notes_again), (1, 1))
        self.on_disk()
        self.assertEqual(wire.heard(), mail.BODY + b".\r\n")
        wire.says("250 taken")
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)
        self.assertTrue(connection.usable)

    def test_a_body_is_not_sent_if_another_relay_has_its_message(self) -> None:
        delivering, _, wire = self.noted(stale=True)
        self.streamed(wire)
        self.refused()
        result = self.successResultOf(delivering)
        self.assertIn("cannot note it", result.outcomes[0].text)
        self.assertEqual((wire.heard(), wire.aborting, result.fully_sent), (b"", True, False))

    def test_a_body_that_is_sent_with_its_commands_needs_no_other_note(self) -> None:
        self.stale = True
        connection, wire = self.connection()
        connection.deliver(request())
        self.on_disk()
        self.assertTrue(wire.heard().endswith(mail.BODY))
        self.assertEqual(self.notes, [])

    # A body that is streamed

    def streaming(self, *, bdat: bool) -> "tuple[Deferred[object], Connection, Wire]":
        connection, wire = self.connection(bdat=bdat)
        delivering = connection.deliver(request(body=LARGE))
        self.assertEqual(self.notes, [])
        self.assertEqual(self.notes_again, 0)
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


class SlowQueue(MemoryQueue):
    """A queue whose notes are on disk when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Deferred[None]] = []

    def note_in_flight(self, id: QueueId, indexes: Collection[int]) -> "Deferred[frozenset[int]]":
        on_disk: Deferred[None] = Deferred()
        self.waiting.append(on_disk)
        return on_disk.addCallback(lambda _: MemoryQueue.note_in_flight(self, id, indexes))

    def write(self) -> None:
        self.waiting.pop().callback(None)


class AgingInFlightLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = SlowQueue()
        self.lines: list[str] = []
        log = EventLog(self.lines.append, lambda: 0.0)
        self.in_flight = AgingInFlightLog(self.queue, log, lasts=10.0, seconds=self.clock.seconds)

    def test_a_note_is_stale_after_its_time(self) -> None:
        noting = self.in_flight.note_in_flight(request())
        self.clock.advance(9)
        self.queue.write()
        is_stale = self.successResultOf(noting)
        assert is_stale is not None
        self.assertFalse(is_stale())
        self.clock.advance(1)
        self.assertTrue(is_stale())

    def test_a_note_whose_answer_comes_late_is_made_again_and_told_once(self) -> None:
        given = request()
        earlier = self.in_flight.note_in_flight(given)
        self.queue.write()
        self.successResultOf(earlier)
        noting = self.in_flight.note_in_flight(given)
        for _ in range(2):
            self.clock.advance(10)
            self.queue.write()
            self.assertNoResult(noting)
        self.queue.write()
        is_stale = self.successResultOf(noting)
        assert is_stale is not None
        self.assertFalse(is_stale())
        self.assertEqual(len(self.lines), 1)

    def test_another_note_of_the_same_attempt_tells_of_no_duplicate(self) -> None:
        given = request()
        for again in (False, True):
            noting = self.in_flight.note_in_flight(given, again=again)
            self.queue.write()
            self.successResultOf(noting)
        self.assertEqual(self.lines, [])
