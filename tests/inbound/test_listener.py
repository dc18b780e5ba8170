"""All connections together: limits, rejections, and the stop of the relay."""

from mta.inbound.limits import InboundLimits
from mta.inbound.listener import GOODBYE, GRACE
from mta.inbound.sockets.port_rule import RELAY_PORT, SUBMISSION_PORT
from mta.smtp.limits import SmtpLimits
from tests.drivers.listener import STRANGER, SlowQueue
from tests.inbound.listener_case import GREET, MAIL, RCPT, ListenerCase


class ListenerTests(ListenerCase):
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

    def test_the_rejections_that_were_only_counted_are_logged_when_the_last_port_closes(self) -> None:
        listening = self.listen(InboundLimits(connections_per_stranger=1))
        first, second = (listening.factory.for_port(rule) for rule in (RELAY_PORT, SUBMISSION_PORT))
        first.doStart()
        second.doStart()
        for _ in range(4):
            listening.connect(STRANGER)
        first.doStop()
        assert len(listening.lines) == 1
        second.doStop()
        assert "turned-away client=203.0.113.9 more=2" in listening.lines[-1]

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
