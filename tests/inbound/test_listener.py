from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.queue.interface import Claim, NewMail
from mta.queue.memory import MemoryQueue
from mta.smtp.limits import Limits
from tests.fakes.listening import STRANGER, Listening, Wire

GREET = "EHLO app.test"
MAIL = "MAIL FROM:<alice@a.test>"
RCPT = "RCPT TO:<bob@b.test>"


class SlowQueue(MemoryQueue):
    """Stores, and tells so only when the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs: list[Deferred[None]] = []

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        stored = super().add(mail, now, lease, due)
        self.syncs.append(Deferred())
        return self.syncs[-1].addCallback(lambda _: stored)


class ListenerTests(SynchronousTestCase):
    def listen(self, limits: Limits | None = None, queue: MemoryQueue | None = None) -> Listening:
        self.listening = Listening(limits, queue)
        return self.listening

    def wire(self, limits: Limits | None = None, queue: MemoryQueue | None = None) -> Wire:
        return self.listen(limits, queue).connect()

    def start_body(self, wire: Wire) -> None:
        wire.say(GREET, MAIL, RCPT)
        assert wire.say("DATA").startswith("354")

    def test_a_client_is_greeted_by_our_name(self) -> None:
        assert self.wire().heard().startswith("220 mx.example.test ESMTP")

    def test_the_250_comes_after_the_sync_and_not_before(self) -> None:
        queue = SlowQueue()
        wire = self.wire(queue=queue)
        self.start_body(wire)
        assert wire.say("Subject: hi", "", "hello", ".") == ""
        assert self.listening.delivery.taken == []
        queue.syncs[0].callback(None)
        assert wire.heard().startswith("250 2.0.0 Ok: queued as ")
        assert len(self.listening.delivery.taken) == 1

    def test_what_is_pipelined_behind_a_body_waits_for_its_verdict(self) -> None:
        queue = SlowQueue()
        wire = self.wire(queue=queue)
        self.start_body(wire)
        assert wire.say("Subject: hi", "", "hello", ".", "NOOP", "QUIT") == ""
        queue.syncs[0].callback(None)
        assert [line[:3] for line in wire.heard().splitlines()] == ["250", "250", "221"]
        assert not wire.open

    def test_a_message_that_finds_no_room_in_memory_is_stored_and_delivery_is_woken(self) -> None:
        wire = self.wire()
        self.listening.delivery.roomy = False
        self.start_body(wire)
        assert wire.say("hello", ".").startswith("250")
        assert self.listening.delivery.taken == []
        assert self.listening.delivery.woken == 1

    def test_a_stranger_is_refused_and_the_log_names_the_reason(self) -> None:
        wire = self.listen().connect(STRANGER)
        wire.say(GREET, MAIL)
        assert wire.say(RCPT).startswith("550 5.7.1 relay not permitted: 203.0.113.9")
        assert "refused client=203.0.113.9" in self.listening.lines[0]

    def test_a_client_that_says_nothing_is_told_and_closed(self) -> None:
        wire = self.wire()
        wire.heard()
        self.listening.clock.pump([5] * 61)
        assert wire.heard().startswith("421 4.4.2")
        assert not wire.open

    def test_a_client_that_dribbles_a_command_is_closed_all_the_same(self) -> None:
        wire = self.wire()
        for _ in range(61):
            wire.protocol.dataReceived(b"N")
            self.listening.clock.advance(5)
        assert not wire.open

    def test_a_body_slower_than_the_least_rate_is_ended_and_nothing_is_kept(self) -> None:
        wire = self.wire()
        self.start_body(wire)
        for _ in range(14):
            wire.protocol.dataReceived(b"x\r\n")
            self.listening.clock.advance(5)
        assert "421 4.4.2" in wire.heard()
        assert not wire.open
        wire.protocol.connectionLost()
        assert self.successResultOf(self.listening.queue.summary()).messages == 0

    def test_a_body_that_keeps_the_least_rate_is_taken_however_long_it_lasts(self) -> None:
        wire = self.wire()
        self.start_body(wire)
        for _ in range(100):
            wire.protocol.dataReceived(b"x" * 600 + b"\r\n")
            self.listening.clock.advance(5)
        assert wire.say(".").startswith("250")

    def test_a_client_that_does_not_read_is_dropped(self) -> None:
        wire = self.wire()
        wire.protocol.pauseProducing()
        self.listening.clock.pump([5] * 13)
        assert wire.transport.disconnected or wire.transport.disconnecting

    def test_a_session_we_end_is_still_read_for_a_while_so_that_our_last_words_arrive(self) -> None:
        wire = self.wire()
        assert wire.say("GET / HTTP/1.1").splitlines()[-1].startswith("554")
        assert wire.transport.half_closed
        assert wire.say("Host: relay.test", "") == ""
        self.listening.clock.pump([5, 5])
        assert wire.transport.disconnected or wire.transport.disconnecting

    def test_a_client_that_reads_again_goes_on(self) -> None:
        wire = self.wire()
        wire.protocol.pauseProducing()
        assert wire.transport.producerState == "paused"
        wire.protocol.resumeProducing()
        assert wire.transport.producerState == "producing"
        assert wire.say(GREET).startswith("220")

    def test_input_behind_a_verdict_is_bounded(self) -> None:
        queue = SlowQueue()
        wire = self.wire(queue=queue)
        self.start_body(wire)
        wire.say("hello", ".")
        wire.protocol.dataReceived(b"NOOP\r\n" * 20_000)
        assert wire.transport.producerState == "paused"
        queue.syncs[0].callback(None)
        assert wire.transport.producerState == "producing" or not wire.open

    def test_connections_are_bounded_in_all_and_for_each_stranger(self) -> None:
        listening = self.listen(Limits(connections=3, connections_per_stranger=1))
        listening.connect(STRANGER)
        assert listening.connect(STRANGER).heard().startswith("421 4.7.0")
        listening.connect()
        last = listening.connect()
        assert listening.connect().heard().startswith("421 4.3.2")
        last.protocol.connectionLost()
        assert listening.connect().heard().startswith("220")

    def test_stopping_says_goodbye_and_turns_newcomers_away(self) -> None:
        wire = self.wire()
        wire.heard()
        stopping = self.listening.factory.stop()
        assert wire.heard().startswith("421 4.3.2")
        assert self.listening.connect().heard().startswith("421 4.3.2")
        self.assertNoResult(stopping)
        wire.protocol.connectionLost()
        self.successResultOf(stopping)

    def test_stopping_lets_a_message_that_is_being_stored_have_its_verdict(self) -> None:
        queue = SlowQueue()
        wire = self.wire(queue=queue)
        self.start_body(wire)
        wire.say("hello", ".")
        stopping = self.listening.factory.stop()
        assert wire.heard() == ""
        queue.syncs[0].callback(None)
        assert [line[:3] for line in wire.heard().splitlines()] == ["250", "421"]
        wire.protocol.connectionLost()
        self.successResultOf(stopping)

    def test_nothing_is_left_running_when_everyone_is_gone(self) -> None:
        wire = self.wire()
        wire.protocol.connectionLost()
        self.listening.clock.advance(5)
        assert not self.listening.clock.getDelayedCalls()
