"""The replies of a session and its lines in the log: the 250, refusals of strangers, and commands that are refused."""

import gc
from collections.abc import Container, Iterable

from mta.smtp.address import Address
from mta.smtp.limits import SmtpLimits
from tests.drivers.listener import STRANGER, SlowQueue
from tests.inbound.listener_case import GREET, MAIL, RCPT, ListenerCase


class SessionTests(ListenerCase):
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

    def test_while_the_queue_is_away_mail_is_refused_and_strangers_hear_as_before(self) -> None:
        wire = self.wire()
        wire.say(GREET)
        self.listening.intake.set_away(True)
        assert wire.say(MAIL).startswith("451 4.3.0")
        self.listening.intake.set_away(False)
        assert wire.say(MAIL).startswith("250")

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

        def was_delivered_here(addresses: Iterable[Address], marks: Container[bytes]) -> bool:
            assert isinstance(marks, frozenset)
            asked.append((len(list(addresses)), len(marks)))
            return False

        self.listening.intake.was_delivered_here = was_delivered_here
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
