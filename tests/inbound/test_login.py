"""Logins of clients: replies, limits on failures, the log, and the rights of a client that has logged in."""

import base64
import gc

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from mta.inbound.login import LoginPolicy
from mta.inbound.sockets.port_rule import RELAY_PORT, SUBMISSION_PORT, PortRule
from mta.smtp.limits import Leniency
from mta.smtp.sasl import scram
from mta.smtp.sasl.logins import ChannelBinding
from mta.users.password_check import CheckQueueFull
from mta.users.secrets import CheckUnavailable
from mta.users.users import Users
from mta.users.users_file import User
from tests.drivers.listener import FRIEND, NAME, STRANGER, Listening, Wire

USERS = "alice:{PLAIN}wonder\nbob:{PLAIN}builder alice@a.test @b.test\n"
GREET, MAIL, RCPT = "EHLO app.test", "MAIL FROM:<alice@a.test>", "RCPT TO:<bob@far.test>"
BODY = ("From: alice@a.test", "", "hello", ".")
WRONG = "535 5.7.8 user or password is wrong\r\n"


def text(*parts: str) -> str:
    return base64.b64encode("\0".join(parts).encode()).decode()


def plain(user: str = "alice", password: str = "wonder") -> str:
    return f"AUTH PLAIN {text('', user, password)}"


class LoginCase(SynchronousTestCase):
    def listen(self, users: str = USERS, *, submission: bool = True, in_clear: bool = False) -> Listening:
        self.listening = Listening(
            starttls=True,
            users=users,
            logins=LoginPolicy(on_relay_port=not submission, in_clear=in_clear),
            leniency=Leniency("a.test", names=True, haste=True, line_feeds=True),
        )
        return self.listening

    def secure(self, address: str = STRANGER, rule: PortRule = SUBMISSION_PORT) -> Wire:
        """Return a client that has begun TLS and said EHLO."""
        wire = self.listening.connect(address, rule)
        if wire.open:
            wire.say(GREET, "STARTTLS")
            wire.protocol.handshakeCompleted()
            wire.say(GREET)
        return wire

    def lines(self, event: str) -> list[str]:
        return [line.partition(" ")[2].strip() for line in self.listening.lines if f" {event} " in line]


class SubmissionTests(LoginCase):
    def test_a_login_by_plain_or_login_may_send_anywhere(self) -> None:
        self.listen()
        for commands in (
            [plain()],
            ["AUTH PLAIN", text("", "alice", "wonder")],
            ["AUTH LOGIN", text("alice"), text("wonder")],
            [f"auth login {text('alice')}", text("wonder")],
        ):
            wire = self.secure()
            said = [wire.say(command) for command in commands]
            assert all(line.startswith("334 ") for line in said[:-1])
            assert said[-1] == "235 2.7.0 you are logged in\r\n"
            assert wire.say(MAIL, RCPT, "DATA").splitlines()[-1].startswith("354")
            assert wire.say(*BODY).startswith("250 2.0.0 Ok")
        assert len(self.lines("accepted")) == 4
        assert all(line.endswith(" user=alice") for line in self.lines("accepted"))
        assert self.lines("login")[0] == "login client=203.0.113.9 user=alice mechanism=PLAIN"
        assert self.lines("login")[2] == "login client=203.0.113.9 user=alice mechanism=LOGIN"

    def test_the_origin_of_a_users_mail_says_that_it_logged_in_and_as_which_user(self) -> None:
        self.listen()
        wire = self.secure()
        wire.say(plain(), MAIL, RCPT, "DATA")
        wire.say(*BODY)
        (claim,) = self.listening.delivery.taken
        assert claim.envelope.origin.protocol == "ESMTPA"
        assert claim.envelope.origin.authenticated
        assert claim.envelope.origin.login == "alice"

    def test_without_a_login_nobody_sends_and_own_networks_neither(self) -> None:
        self.listen()
        for address in (STRANGER, FRIEND):
            for wire in (self.secure(address), self.listening.connect(address, SUBMISSION_PORT)):
                wire.say(GREET)
                said = wire.say(MAIL, RCPT, "DATA")
                assert [line[:9] for line in said.splitlines()] == ["530 5.7.0"] * 3
                wire.say("RSET")
                assert wire.say("MAIL FROM:<>").startswith("530 5.7.0")
        assert self.listening.delivery.taken == []

    def test_the_port_for_all_clients_is_as_before_if_there_is_a_submission_port(self) -> None:
        self.listen()
        wire = self.secure(rule=RELAY_PORT)
        assert "AUTH" not in wire.say(GREET)
        assert wire.say(plain()).startswith("503 5.5.1 AUTH is not offered")
        assert wire.say(MAIL, "RCPT TO:<x@relay.test>").count("250 ") == 2
        own = self.listening.connect(FRIEND)
        assert own.say(GREET, MAIL, RCPT).count("250 ") == 3

    def test_without_a_submission_port_users_log_in_on_the_port_for_all_clients(self) -> None:
        self.listen(submission=False)
        wire = self.secure(rule=RELAY_PORT)
        assert "250-AUTH PLAIN LOGIN\r\n" in wire.say(GREET)
        assert wire.say(MAIL, RCPT).splitlines()[-1].startswith("550 5.7.1 relay not permitted")
        assert wire.say("RSET", plain(), MAIL, RCPT).splitlines()[1].startswith("235")
        assert wire.say("DATA").startswith("354")

    def test_a_wrong_login_has_one_reply_and_gives_no_rights(self) -> None:
        self.listen(submission=False)
        replies = set()
        for user, password in (("alice", "wrong"), ("eve", "wonder"), ("Alice", "wonder"), ("wonder", "wonder")):
            wire = self.secure(rule=RELAY_PORT)
            replies.add(wire.say(plain(user, password)))
            assert wire.say(MAIL, RCPT).splitlines()[-1].startswith("550 5.7.1")
            assert "250-DSN" not in wire.say(GREET)
        assert replies == {WRONG}
        assert self.lines("login") == []
        failed = self.lines("login-failed")
        assert failed[0] == (
            'login-failed client=203.0.113.9 user=alice mechanism=PLAIN reply="535 5.7.8 user or password is wrong"'
        )
        assert all(" user=" not in line for line in failed[1:])

    def test_a_user_is_found_with_the_relays_name_behind_it(self) -> None:
        self.listen()
        wire = self.secure()
        assert wire.say(plain("alice@MX.example.test")).startswith("235")
        assert " user=alice " in self.lines("login")[0] + " "

    def test_nobody_acts_for_another_user(self) -> None:
        self.listen()
        assert self.secure().say(f"AUTH PLAIN {text('bob', 'alice', 'wonder')}") == WRONG

    def test_a_response_that_is_none_of_the_mechanism_is_told_so(self) -> None:
        self.listen()
        assert self.secure().say(f"AUTH PLAIN {text('alice', 'wonder')}").startswith("501 5.5.2")
        assert 'reply="501 5.5.2' in self.lines("login-failed")[0]

    def test_each_malformed_login_gets_one_reply_and_nothing_is_done(self) -> None:
        self.listen()
        for lines, code in (
            (["AUTH LOGIN", "*"], "501 5.7.0"),
            (["AUTH LOGIN", "%"], "501 5.5.2"),
            (["AUTH CRAM-MD5"], "504 5.5.4"),
            (["AUTH"], "501 5.5.4"),
        ):
            wire = self.secure()
            said = "".join(wire.say(line) for line in lines).splitlines()
            assert said[-1].startswith(code)
            assert len(said) == len(lines)
            assert wire.say(MAIL).startswith("530")
        wire = self.secure()
        assert [line[:3] for line in wire.say(plain(), plain(), MAIL, plain()).splitlines()] == [
            "235",
            "503",
            "250",
            "503",
        ]
        wire = self.secure()
        assert [line[:3] for line in wire.say(plain(password="x"), MAIL, RCPT).splitlines()] == ["535", "530", "530"]

    def test_scram_is_offered_only_if_every_user_has_a_scram_secret(self) -> None:
        secret = scram.format_secret(scram.derive("wonder", b"salt"))
        self.listen(f"alice:{secret}\n")
        assert "250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n" in self.secure().say(GREET)
        self.listen(f"alice:{secret}\nbob:{{PLAIN}}builder\n")
        assert "250-AUTH PLAIN LOGIN\r\n" in self.secure().say(GREET)

    def test_a_login_that_was_offered_before_the_users_changed_fails_as_a_wrong_one(self) -> None:
        secret = scram.format_secret(scram.derive("wonder", b"salt"))
        logins = self.listen(f"alice:{secret}\n").logins
        assert logins is not None
        wire = self.secure()
        wire.protocol._machine.offer_logins((scram.NAME, scram.PLUS_NAME))
        wire.protocol.session.login.tls_started("TLSv1.3", ChannelBinding("tls-exporter", b"x"))
        logins.users = Users(text=USERS, mailname=NAME, notice=self.listening.lines.append)
        for name, header in ((scram.NAME, "n,,"), (scram.PLUS_NAME, "p=tls-exporter,,")):
            challenge = base64.b64decode(wire.say(f"AUTH {name} {text(header + 'n=alice,r=abc')}")[4:]).decode()
            nonce = challenge.partition(",")[0]
            assert wire.say(text(f"c=,{nonce},p={scram.encode(bytes(32))}")) == WRONG

    def test_starttls_forgets_the_login(self) -> None:
        self.listen(in_clear=True)
        wire = self.listening.connect(FRIEND, SUBMISSION_PORT)
        assert wire.say(GREET, plain()).splitlines()[-1].startswith("235")
        wire.say("STARTTLS")
        wire.protocol.handshakeCompleted()
        assert wire.say(GREET, MAIL).splitlines()[-1].startswith("530")
        assert wire.protocol.session.client.user == ""

    def test_no_secret_is_in_the_log(self) -> None:
        self.listen()
        wire = self.secure()
        for line in (
            plain(password="s3cret"),
            f"AUTH LOGIN {text('s3cret')}",
            text("s3cret"),
            "AUTH LOGIN",
            f"{text('s3cret')}!",
            f"AUTH GSSAPI {text('s3cret')}",
            text("s3cret"),
        ):
            wire.say(line)
        log = "".join(self.listening.lines)
        assert "login-failed" in log
        for shape in ("s3cret", text("s3cret"), text("", "alice", "s3cret")):
            assert shape not in log


class InClearTests(LoginCase):
    def test_auth_in_clear_is_not_offered_and_refused_with_one_hint(self) -> None:
        self.listen()
        for address in (FRIEND, STRANGER):
            wire = self.listening.connect(address, SUBMISSION_PORT)
            assert "AUTH" not in wire.say(GREET)
            assert wire.say(plain()).startswith("538 5.7.11")
            assert wire.say(MAIL).startswith("530")
        (hint,) = self.lines("notice")
        assert "AUTH_IN_CLEAR=trusted" in hint
        assert self.lines("login") == []

    def test_with_trusted_own_networks_log_in_in_clear_and_strangers_do_not(self) -> None:
        self.listen(in_clear=True)
        wire = self.listening.connect(FRIEND, SUBMISSION_PORT)
        assert "250-AUTH PLAIN LOGIN\r\n" in wire.say(GREET)
        assert wire.say(plain(), MAIL).splitlines()[-1].startswith("250")
        stranger = self.listening.connect(STRANGER, SUBMISSION_PORT)
        assert "AUTH" not in stranger.say(GREET)
        assert stranger.say(plain()).startswith("538 5.7.11")
        assert self.lines("notice") == []


class BruteForceTests(LoginCase):
    def fail(self, times: int, address: str = STRANGER, user: str = "alice") -> list[str]:
        """Fail so many logins, each in a session of its own; return the replies, waiting for each."""
        replies = []
        for _ in range(times):
            wire = self.secure(address)
            if not wire.open:
                replies.append(wire.heard())
                continue
            reply = wire.say(plain(user, "wrong"))
            while not reply:
                self.listening.clock.advance(1)
                reply = wire.heard()
            replies.append(reply)
            wire.protocol.connectionLost()
        return replies

    def test_three_failures_end_the_session(self) -> None:
        self.listen()
        wire = self.secure()
        assert wire.say(plain(password="a")) == WRONG
        assert wire.say(plain(password="b")) == WRONG
        assert wire.say(plain(password="c"), "NOOP") == "421 4.7.0 too many failed logins\r\n"
        assert not wire.open
        assert self.lines("login-failed")[-1].endswith('reply="421 4.7.0 too many failed logins"')

    def test_from_the_fifth_failure_on_answers_are_later_and_later(self) -> None:
        self.listen()
        assert self.fail(4) == [WRONG] * 4
        delays = []
        for _ in range(7):
            before = self.listening.clock.seconds()
            assert self.fail(1) == [WRONG]
            delays.append(self.listening.clock.seconds() - before)
        assert delays == [1, 2, 4, 8, 16, 30, 30]

    def test_commands_behind_a_late_answer_wait_for_it(self) -> None:
        self.listen()
        self.fail(4)
        wire = self.secure()
        assert wire.say(plain(password="x"), "NOOP") == ""
        self.listening.clock.advance(1)
        assert [line[:3] for line in wire.heard().splitlines()] == ["535", "250"]

    def test_a_user_that_logs_in_from_another_address_is_not_late(self) -> None:
        self.listen()
        self.fail(10)
        assert self.secure("198.51.100.7").say(plain()).startswith("235")

    def test_a_user_that_logged_in_from_the_address_before_is_not_late(self) -> None:
        self.listen()
        assert self.secure().say(plain()).startswith("235")
        self.fail(10)
        assert self.secure().say(plain()).startswith("235")
        late = self.secure().say(plain("bob", "builder"))
        assert late == ""

    def test_twenty_failures_shut_an_address_out_for_an_hour_at_the_ports_for_logins(self) -> None:
        self.listen()
        replies = self.fail(21)
        assert replies[:20] == [WRONG] * 20
        assert replies[20].startswith("421 4.7.0 Too many failed logins from your address")
        assert self.lines("turned-away")[0].startswith("turned-away client=203.0.113.9 ")
        assert self.listening.connect(STRANGER, RELAY_PORT).heard().startswith("220")
        assert self.listening.connect("198.51.100.7", SUBMISSION_PORT).heard().startswith("220")
        self.listening.clock.advance(3601)
        assert self.listening.connect(STRANGER, SUBMISSION_PORT).heard().startswith("220")

    def test_an_address_that_is_shut_out_logs_in_on_no_port(self) -> None:
        self.listen(submission=False)
        self.fail(20)
        assert (
            self.secure(rule=RELAY_PORT).say(plain()).startswith("421 4.7.0 Too many failed logins from your address")
        )
        assert self.lines("login") == []

    def test_a_client_behind_a_load_balancer_is_shut_out_and_its_checks_are_not(self) -> None:
        self.listen()
        self.fail(20)
        self.fail(20, "10.0.0.2")
        self.listening.balancers = frozenset(("10.0.0.2",))
        for header, code in ((f"PROXY TCP4 {STRANGER} 10.0.0.9 1 2\r\n", "421"), ("PROXY UNKNOWN\r\n", "220")):
            wire = self.listening.connect("10.0.0.2", SUBMISSION_PORT)
            wire.protocol.dataReceived(header.encode())
            assert wire.heard().startswith(code)

    def test_trusted_networks_are_late_but_not_shut_out(self) -> None:
        self.listen()
        assert self.fail(25, FRIEND) == [WRONG] * 25
        assert self.listening.connect(FRIEND, SUBMISSION_PORT).heard().startswith("220")

    def test_a_client_that_is_gone_gets_no_answer_and_leaves_no_timer(self) -> None:
        self.listen()
        self.fail(6)
        wire = self.secure()
        timers = len(self.listening.clock.getDelayedCalls())
        assert wire.say(plain(password="x")) == ""
        assert len(self.listening.clock.getDelayedCalls()) == timers + 1
        wire.protocol.connectionLost()
        assert len(self.listening.clock.getDelayedCalls()) <= timers
        assert len(self.lines("login-failed")) == 7
        gc.collect()


class CheckTests(LoginCase):
    def checked_by(self, result: "Deferred[User | None]") -> Wire:
        self.listen()
        assert self.listening.logins is not None

        class Checks:
            def check(self, name: str, password: str) -> "Deferred[User | None]":  # noqa: ARG002
                return result

        self.listening.logins.passwords = Checks()
        return self.secure()

    def test_a_full_queue_of_checks_is_a_temporary_failure_that_counts_as_none(self) -> None:
        wire = self.checked_by(fail(CheckQueueFull("full")))
        for _ in range(4):
            assert wire.say(plain()) == "454 4.7.0 too many logins at once, please try again later\r\n"
        assert self.lines("login-failed")[0].endswith('please try again later"')

    def test_a_check_that_is_not_possible_is_a_temporary_failure_and_a_trouble(self) -> None:
        wire = self.checked_by(fail(CheckUnavailable("no memory")))
        assert wire.say(plain()).startswith("454 4.7.0")
        assert "no memory" in self.lines("trouble")[0]

    def test_a_bug_in_a_check_costs_no_reply_and_shows_no_password(self) -> None:
        wire = self.checked_by(fail(ZeroDivisionError()))
        assert wire.say(plain()).startswith("454 4.7.0")
        (failure,) = self.flushLoggedErrors(ZeroDivisionError)
        assert "wonder" not in failure.getTraceback()

    def test_commands_wait_while_a_password_is_checked(self) -> None:
        result: Deferred[User | None] = Deferred()
        wire = self.checked_by(result)
        assert wire.say(plain(), MAIL) == ""
        assert self.listening.logins is not None
        result.callback(self.listening.logins.users.find("alice"))
        assert [line[:3] for line in wire.heard().splitlines()] == ["235", "250"]

    def test_a_login_that_succeeds_after_its_client_left_gives_no_rights(self) -> None:
        result: Deferred[User | None] = Deferred()
        wire = self.checked_by(result)
        session = wire.protocol.session
        wire.say(plain())
        wire.protocol.connectionLost()
        assert self.listening.logins is not None
        result.callback(self.listening.logins.users.find("alice"))
        assert session.client.user == ""
        assert wire.heard() == ""


class RightsTests(LoginCase):
    def user(self, name: str = "alice", password: str = "wonder") -> Wire:
        self.listen()
        wire = self.secure()
        assert wire.say(plain(name, password)).startswith("235")
        return wire

    def test_a_user_gets_reports_and_a_stranger_does_not(self) -> None:
        wire = self.user()
        assert "250-DSN\r\n" in wire.say(GREET)
        assert wire.say(MAIL + " RET=HDRS ENVID=a", RCPT + " NOTIFY=SUCCESS").count("250 ") == 2

    def test_a_users_program_is_read_as_those_of_own_networks_are(self) -> None:
        wire = self.user()
        assert wire.say("MAIL FROM:<root>", RCPT, "DATA").splitlines()[-1].startswith("354")
        wire.protocol.dataReceived(b"Subject: x\n\nhello\n\r\n.\r\n")
        assert wire.heard().startswith("250 2.0.0 Ok")
        (claim,) = self.listening.delivery.taken
        assert str(claim.envelope.sender) == "root@a.test"

    def test_a_user_with_a_list_sends_as_its_senders_only(self) -> None:
        wire = self.user("bob", "builder")
        assert wire.say("MAIL FROM:<eve@a.test>").startswith("550 5.7.1 not permitted by the sender list of user bob")
        for sender in ("alice@a.test", "any@b.test", ""):
            assert wire.say(f"MAIL FROM:<{sender}>", RCPT, "DATA").splitlines()[-1].startswith("354")
            assert wire.say("From: alice@a.test, x@B.test", "", "hello", ".").startswith("250")
            wire.say(f"MAIL FROM:<{sender}>", RCPT, "DATA")
            refused = wire.say("From: alice@a.test, eve@evil.test", "", "hello", ".")
            assert refused.startswith("550 5.7.1 not permitted by the sender list of user bob: From <eve@evil.test>")
        assert "alice" not in refused
        assert len(self.lines("refused")) == 4

    def test_a_user_without_a_list_sends_as_anyone(self) -> None:
        wire = self.user()
        assert wire.say("MAIL FROM:<eve@evil.test>", RCPT, "DATA").splitlines()[-1].startswith("354")
        assert wire.say("From: mallory@x.test", "From: b@c.test", "", "hello", ".").startswith("250")

    def test_a_missing_from_field_becomes_the_sender_that_was_checked(self) -> None:
        wire = self.user("bob", "builder")
        wire.say(MAIL, RCPT, "DATA")
        assert wire.say("Subject: x", "", "hello", ".").startswith("250")
        wire.say("MAIL FROM:<>", RCPT, "DATA")
        assert wire.say("Subject: x", "", "hello", ".").startswith("550 5.7.1")
