"""The connection of a client: deadlines, clients that do not read, TLS, and bounds on input."""

from mta.smtp.limits import Leniency, SmtpLimits
from tests.drivers.listener import Listening, SlowQueue
from tests.inbound.listener_case import GREET, MAIL, RCPT, ListenerCase


class ProtocolTests(ListenerCase):
    def test_a_silent_client_gets_a_reply_and_is_closed(self) -> None:
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

    def test_an_octet_every_ten_seconds_does_not_move_the_end_of_a_commands_time(self) -> None:
        wire = self.wire()
        self.listening.clock.advance(100)
        wire.say("NOOP")
        for _ in range(29):
            wire.protocol.dataReceived(b"N")
            self.listening.clock.pump([5, 5])
            assert wire.open
        self.listening.clock.pump([5, 5])
        assert wire.heard().endswith("421 4.4.2 Too slow, closing the connection\r\n")
        assert not wire.open

    def test_an_octet_every_ten_seconds_of_a_body_is_too_slow_a_minute_after_it_began(self) -> None:
        for begin in (["DATA"], ["BDAT 1000 LAST"]):
            wire = self.wire()
            wire.say(GREET, MAIL, RCPT, *begin)
            for _ in range(5):
                wire.protocol.dataReceived(b"x")
                self.listening.clock.pump([5, 5])
                assert wire.open
            self.listening.clock.pump([5, 5])
            assert wire.heard().endswith("421 4.4.2 Too slow, closing the connection\r\n")
            assert not wire.open

    def test_small_chunks_do_not_begin_the_measure_of_a_body_anew(self) -> None:
        wire = self.wire()
        wire.say(GREET, MAIL, RCPT)
        for _ in range(6):
            assert wire.open
            assert wire.say("BDAT 3", "x").startswith("250")
            self.listening.clock.pump([5, 5])
        assert wire.heard().startswith("421 4.4.2")
        assert not wire.open

    def test_chunks_above_the_minimum_rate_are_accepted_for_any_time(self) -> None:
        wire = self.wire()
        wire.say(GREET, MAIL, RCPT)
        for _ in range(100):
            assert wire.say("BDAT 6000", "x" * 598 + "\r\n" + ("y" * 598 + "\r\n") * 8 + "z" * 598).startswith("250")
            self.listening.clock.pump([5, 5])
        assert wire.say("BDAT 0 LAST").startswith("250")

    def test_a_session_without_a_message_ends_within_the_hour_with_any_commands(self) -> None:
        for lines in (["NOOP"], [MAIL, RCPT, "RSET"], [MAIL, "RCPT TO:<nobody@here.test>"], ["EHLO app.test"]):
            wire = self.wire(SmtpLimits(idle_commands=1_000_000, errors=1_000_000))
            wire.say(GREET)
            minutes = 0
            while wire.open:
                wire.say(*lines)
                self.listening.clock.pump([5] * 12)
                minutes += 1
                assert minutes < 62
            assert wire.heard().endswith("421 4.4.2 Too slow, closing the connection\r\n")

    def test_a_session_that_brings_a_message_now_and_then_goes_on_for_days(self) -> None:
        wire = self.wire()
        wire.say(GREET)
        for _ in range(100):
            self.start_body(wire)
            assert wire.say("hello", ".").startswith("250")
            for _ in range(13):
                wire.say("NOOP")
                self.listening.clock.pump([5] * 48)
        assert wire.open

    def test_a_body_under_way_is_not_ended_because_the_hour_is_over(self) -> None:
        wire = self.wire()
        self.start_body(wire)
        for _ in range(800):
            wire.protocol.dataReceived((b"x" * 600 + b"\r\n") * 5)
            self.listening.clock.advance(5)
        assert wire.say(".").startswith("250")

    def test_a_body_below_the_minimum_rate_is_ended_and_dropped(self) -> None:
        wire = self.wire()
        self.start_body(wire)
        for _ in range(14):
            wire.protocol.dataReceived(b"x\r\n")
            self.listening.clock.advance(5)
        assert "421 4.4.2" in wire.heard()
        assert not wire.open
        wire.protocol.connectionLost()
        assert self.successResultOf(self.listening.queue.summary()).messages == 0

    def test_a_body_at_the_minimum_rate_is_accepted_after_any_time(self) -> None:
        wire = self.wire()
        self.start_body(wire)
        for _ in range(100):
            wire.protocol.dataReceived((b"x" * 600 + b"\r\n") * 5)
            self.listening.clock.advance(5)
        assert wire.say(".").startswith("250")

    def test_a_client_that_does_not_read_is_dropped_and_the_log_says_why(self) -> None:
        wire = self.wire()
        wire.protocol.pauseProducing()
        assert wire.transport.producerState == "paused"
        self.listening.clock.pump([5] * 11)
        assert not wire.transport.aborted
        self.listening.clock.pump([5, 5])
        assert wire.transport.aborted
        assert "it does not read the replies" in self.listening.lines[-1]

    def test_a_client_that_asked_to_end_and_does_not_read_the_answer_is_dropped(self) -> None:
        wire = self.wire()
        wire.say("QUIT")
        assert wire.transport.disconnecting
        self.listening.clock.pump([5, 5])
        assert wire.transport.aborted

    def test_a_handshake_that_does_not_come_to_its_end_is_broken_off_without_a_word_in_clear(self) -> None:
        wire = self.listen(starttls=True).connect()
        assert wire.say(GREET, "STARTTLS").splitlines()[-1].startswith("220")
        wire.transport.clear()
        self.listening.clock.pump([5] * 11)
        assert not wire.transport.aborted
        self.listening.clock.pump([5, 5])
        assert wire.transport.aborted
        assert wire.heard() == ""
        assert "the TLS handshake did not come to its end" in self.listening.lines[-1]

    def test_the_name_that_a_client_gave_in_clear_does_not_stand_in_the_trace_of_mail_under_tls(self) -> None:
        self.listening = Listening(starttls=True, leniency=Leniency(names=True))
        wire = self.listening.connect()
        wire.say(GREET, "STARTTLS")
        wire.protocol.handshakeCompleted()
        wire.say(MAIL, RCPT, "BDAT 0 LAST")
        (message,) = self.listening.delivery.taken
        assert message.envelope.origin.helo == ""
        assert message.envelope.origin.protocol == "SMTP"

    def test_a_session_that_the_relay_ends_is_read_for_a_while_so_that_the_last_reply_arrives(self) -> None:
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
