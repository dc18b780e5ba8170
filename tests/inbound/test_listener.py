"""The listening side on a transport in memory: replies, deadlines, limits, TLS and the stop."""

import gc
from collections.abc import Container, Iterable

from twisted.trial.unittest import SynchronousTestCase

from mta.inbound.limits import InboundLimits
from mta.inbound.listener import GOODBYE, GRACE
from mta.queue.memory import MemoryQueue
from mta.smtp.address import Address
from mta.smtp.limits import Leniency, SmtpLimits
from tests.drivers.listener import STRANGER, Listening, SlowQueue, Wire

GREET = "EHLO app.test"
MAIL = "MAIL FROM:<alice@a.test>"
RCPT = "RCPT TO:<bob@b.test>"


AnyLimits = InboundLimits | SmtpLimits


class ListenerTests(SynchronousTestCase):
    def listen(
        self,
        limits: AnyLimits | None = None,
        queue: MemoryQueue | None = None,
        *,
        starttls: bool = False,
    ) -> Listening:
        self.listening = Listening(limits, queue, starttls=starttls)
        return self.listening

    def wire(self, limits: AnyLimits | None = None, queue: MemoryQueue | None = None) -> Wire:
        return self.listen(limits, queue).connect()

    def start_body(self, wire: Wire) -> None:
        wire.say(GREET, MAIL, RCPT)
        assert wire.say("DATA").startswith("354")

    def test_a_client_is_greeted_by_the_relays_name(self) -> None:
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

    def test_a_bug_in_the_delivery_costs_neither_the_reply_nor_the_session(self) -> None:
        queue = SlowQueue()
        wire = self.wire(queue=queue)
        self.listening.delivery.take = self.fail_to_take  # type: ignore[method-assign]
        self.start_body(wire)
        wire.say("hello", ".", "NOOP")
        queue.syncs[0].callback(None)
        assert [line[:3] for line in wire.heard().splitlines()] == ["250", "250"]
        assert wire.say("NOOP").startswith("250")
        gc.collect()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def fail_to_take(self, _claim: object) -> None:
        raise ZeroDivisionError

    def test_a_bug_in_a_late_reply_does_not_cost_the_delivery(self) -> None:
        queue = SlowQueue()
        wire = self.wire(queue=queue)
        self.start_body(wire)
        wire.say("hello", ".")
        wire.transport.write = self.fail_to_take  # type: ignore[method-assign]
        queue.syncs[0].callback(None)
        assert len(self.listening.delivery.taken) == 1
        gc.collect()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_commands_pipelined_behind_a_body_wait_for_its_verdict(self) -> None:
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

    def test_no_stranger_has_reports_sent(self) -> None:
        wire = self.listen().connect(STRANGER)
        assert "DSN" not in wire.say(GREET)
        assert wire.say(MAIL + " RET=FULL").startswith("555 5.5.4")
        assert wire.say(MAIL + " ENVID=a").startswith("555 5.5.4")
        assert wire.say(MAIL).startswith("250")
        assert wire.say("RCPT TO:<bob@here.test> NOTIFY=SUCCESS").startswith("555 5.5.4")
        assert wire.say("RCPT TO:<bob@here.test> ORCPT=rfc822;bob@here.test").startswith("555 5.5.4")
        assert wire.say("RCPT TO:<bob@here.test>").startswith("250")
        own = self.listen().connect()
        assert "250-DSN" in own.say(GREET)
        assert own.say(MAIL + " RET=HDRS", RCPT + " NOTIFY=SUCCESS").count("250 ") == 2

    def test_a_message_that_would_be_a_loop_is_refused_to_a_stranger_who_else_names_the_reports_victim(self) -> None:
        loop = ("Subject: a", "delivered-TO:", " bob@here.test", "", "hello", ".")
        wire = self.listen().connect(STRANGER)
        wire.say(GREET, MAIL, "RCPT TO:<bob@here.test>", "DATA")
        assert wire.say(*loop).startswith("554 5.4.6")
        own = self.listen().connect()
        own.say(GREET, MAIL, "RCPT TO:<bob@here.test>", "DATA")
        assert own.say(*loop).startswith("250")

    def test_a_strangers_marks_and_recipients_are_looked_at_once_a_message_however_many_they_are(self) -> None:
        wire = self.listen().connect(STRANGER)
        asked: list[tuple[int, int]] = []

        def visited(addresses: Iterable[Address], marks: Container[bytes]) -> bool:
            assert isinstance(marks, frozenset)
            asked.append((len(list(addresses)), len(marks)))
            return False

        self.listening.intake.was_delivered_here = visited
        wire.say(GREET, MAIL)
        assert wire.say("RCPT TO:<bob@here.test>", "RCPT TO:<x@relay.test>").count("250 ") == 2
        wire.say("DATA")
        assert wire.say(*(f"Delivered-To: {number}@b.test" for number in range(10_000)), "", ".").startswith("250")
        assert asked == [(2, 50)]

    def test_commands_that_the_machine_refuses_are_in_the_log_too(self) -> None:
        for command, reply in (
            ("AUTH PLAIN AGFsaWNlAHMzY3JldA==", "503 5.5.1"),
            ("MAIL FROM:<alice@a.test> SIZE=999999999", "552 5.3.4"),
            ("MAIL FROM:<alice>", "501 5.1.7"),
            ("RCPT TO:<bob@b.test>", "503 5.5.1"),
            ("STARTTLS", "503 5.5.1"),
        ):
            wire = self.listen().connect()
            wire.say(GREET)
            assert wire.say(command).startswith(reply)
            (line,) = self.listening.lines
            assert "refused client=127.0.0.1 helo=app.test" in line
            assert f"reply={reply}" in line.replace('"', "")
            shown = "AUTH" if command.startswith("AUTH") else command
            assert f"command={shown}" in line.replace('"', "")
            assert "AGFs" not in line

    def test_recipients_beyond_the_limit_are_in_the_log(self) -> None:
        wire = self.wire(SmtpLimits(recipients=1))
        wire.say(GREET, MAIL, RCPT)
        assert wire.say("RCPT TO:<eve@b.test>").startswith("452 4.5.3")
        assert "RCPT TO:<eve@b.test>" in self.listening.lines[0]

    def test_input_behind_a_refused_login_is_not_logged(self) -> None:
        wire = self.wire()
        wire.say(GREET, "AUTH LOGIN", "YWxpY2U=", "czNjcmV0")
        assert len(self.listening.lines) == 3
        assert not any(secret in line for line in self.listening.lines for secret in ("YWxp", "czNj", "LOGIN"))

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

    def test_recipients_of_all_clients_are_bounded_but_each_may_have_a_hundred(self) -> None:
        listening = self.listen(InboundLimits(surplus_recipients=50))
        first, second = listening.connect(), listening.connect()
        recipients = [f"RCPT TO:<{number}@b.test>" for number in range(200)]
        for wire, taken in ((first, 150), (second, 100)):
            codes = [line[:9] for line in wire.say(GREET, MAIL, RCPT.replace("bob", "0"), *recipients).splitlines()]
            assert codes.count("250 2.1.5") == taken + 1
            assert codes.count("452 4.5.3") == 200 - taken
        assert listening.intake.surplus_recipients == 50
        second.say("DATA")
        assert second.say(".").startswith("250")
        first.say("RSET")
        assert listening.intake.surplus_recipients == 0
        assert second.say(MAIL, *recipients).count("250 2.1.5") == 150
        second.protocol.connectionLost()
        assert listening.intake.surplus_recipients == 0

    def test_recipients_are_given_back_with_the_verdict_on_their_message(self) -> None:
        wire = self.wire(SmtpLimits(message_size=10))
        for body in ("x", "more than ten octets"):
            wire.say(GREET, MAIL, *(f"RCPT TO:<{number}@b.test>" for number in range(200)), "DATA")
            assert self.listening.intake.surplus_recipients == 100
            wire.say(body, ".")
            assert self.listening.intake.surplus_recipients == 0

    def test_connections_are_bounded_in_all_and_for_each_stranger(self) -> None:
        listening = self.listen(InboundLimits(connections=3, connections_per_stranger=1))
        listening.connect(STRANGER)
        assert listening.connect(STRANGER).heard().startswith("421 4.7.0")
        listening.connect()
        last = listening.connect()
        assert listening.connect().heard().startswith("421 4.3.2")
        last.protocol.connectionLost()
        assert listening.connect().heard().startswith("220")

    def test_addresses_of_one_ipv6_network_are_one_stranger(self) -> None:
        listening = self.listen(InboundLimits(connections_per_stranger=2))
        first = listening.connect("2001:db8::1")
        listening.connect("2001:db8::2:0:0:1")
        assert listening.connect("2001:db8::3").heard().startswith("421 4.7.0")
        assert listening.connect("2001:db8:0:1::3").heard().startswith("220")
        first.protocol.connectionLost()
        assert listening.connect("2001:db8::3").heard().startswith("220")

    def test_a_flood_of_refusals_is_one_line_at_once_and_one_a_minute_later(self) -> None:
        listening = self.listen(InboundLimits(connections_per_stranger=1))
        listening.connect(STRANGER)
        for _ in range(5000):
            listening.connect(STRANGER)
        assert len(listening.lines) == 1
        listening.clock.pump([5] * 12)
        assert len(listening.lines) == 2
        assert "turned-away client=203.0.113.9 more=4999" in listening.lines[1]

    def test_a_flood_from_many_addresses_is_some_lines_a_minute(self) -> None:
        listening = self.listen(InboundLimits(connections=1))
        listening.connect()
        for number in range(5000):
            listening.connect(f"198.51.{number // 250}.{number % 250}")
        assert len(listening.lines) == 20
        listening.clock.pump([5] * 12)
        assert len(listening.lines) == 21
        assert "4980 more connections, of other addresses" in listening.lines[-1]

    def test_stopping_says_goodbye_and_turns_newcomers_away(self) -> None:
        wire = self.wire()
        wire.heard()
        stopping = self.listening.factory.stop()
        assert wire.heard().startswith("421 4.3.2")
        assert self.listening.connect().heard().startswith("421 4.3.2")
        self.assertNoResult(stopping)
        wire.protocol.connectionLost()
        self.successResultOf(stopping)
        assert self.listening.connect().heard().startswith("421 4.3.2")

    def test_stopping_lets_a_message_that_is_being_sent_come_to_its_end(self) -> None:
        for begin, end in ((["DATA"], ["hello", "."]), (["BDAT 3", "x"], ["BDAT 3 LAST", "y"])):
            queue = SlowQueue()
            wire = self.wire(queue=queue)
            idle = self.listening.connect()
            wire.say(GREET, MAIL, RCPT, *begin)
            stopping = self.listening.factory.stop()
            assert wire.heard() == ""
            assert not idle.open
            self.listening.clock.advance(GRACE - 1)
            assert wire.say(*end, "NOOP") == ""
            queue.syncs[0].callback(None)
            assert [line[:3] for line in wire.heard().splitlines()] == ["250", "250", "421"]
            idle.protocol.connectionLost()
            self.assertNoResult(stopping)
            wire.protocol.connectionLost()
            self.successResultOf(stopping)
            assert not self.listening.clock.getDelayedCalls()

    def test_a_message_that_is_still_being_sent_at_the_end_of_the_grace_gets_421_and_is_not_kept(self) -> None:
        wire = self.wire()
        self.start_body(wire)
        stopping = self.listening.factory.stop()
        for _ in range(int(GRACE)):
            assert wire.open
            wire.say("x" * 500)
            self.listening.clock.advance(1)
        assert wire.heard().startswith("421 4.3.2")
        self.listening.clock.advance(GOODBYE)
        assert wire.transport.aborted
        wire.protocol.connectionLost()
        self.successResultOf(stopping)
        assert self.successResultOf(self.listening.queue.summary()).messages == 0

    def test_a_refused_body_ends_the_session_when_the_relay_stops(self) -> None:
        wire = self.wire(SmtpLimits(message_size=10))
        self.start_body(wire)
        self.listening.factory.stop()
        assert [line[:3] for line in wire.say("more than ten octets", ".").splitlines()] == ["552", "421"]

    def test_a_client_that_stays_when_the_relay_stops_is_disconnected(self) -> None:
        wire = self.wire()
        stopping = self.listening.factory.stop()
        self.listening.clock.pump([0, GOODBYE])
        assert wire.transport.aborted
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

    def test_no_timer_is_left_when_all_clients_are_gone(self) -> None:
        wire = self.wire()
        wire.protocol.connectionLost()
        self.listening.clock.advance(5)
        assert not self.listening.clock.getDelayedCalls()
