"""AUTH in the server's machine: the sequence, base64, bounds, and the terms of a port."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.limits import Leniency, SmtpLimits
from mta.smtp.replies import Reply, reply
from mta.smtp.server.auth import MAX_RESPONSE, LoginTerms
from mta.smtp.server.events import (
    NEED_DATA,
    WAITING,
    AuthBegin,
    AuthResponse,
    Closed,
    CommandRefused,
    Hello,
    MailFrom,
    RcptTo,
    StartTls,
)
from mta.smtp.server.machine import ServerMachine
from mta.smtp.server.phases import Phase
from mta.smtp.server.verbs import VERBS
from tests.strategies import splits, wild_bytes

OK = reply(250, "2.0.0", "ok")
YES, NO = reply(235, "2.7.0", "logged in"), reply(535, "5.7.8", "wrong")
USERNAME = reply(334, "", base64.b64encode(b"Username:").decode())
HELLO = b"EHLO client.test\r\n"
MAIL = b"MAIL FROM:<a@client.test>\r\n"
PLAIN = b"AUTH PLAIN AGEAYg==\r\n"
MECHANISMS = ("PLAIN", "LOGIN")
IN_CLEAR = LoginTerms(in_clear=MECHANISMS, in_tls=MECHANISMS)
IN_TLS = LoginTerms(in_tls=MECHANISMS)
REQUIRED = replace(IN_CLEAR, required=True)


class Talk:
    """A machine past its greeting, whose driver gives `answers` to AUTH and the responses, in order."""

    def __init__(self, logins: LoginTerms = IN_CLEAR, *answers: Reply, hello: bool = True, **options: object) -> None:
        self.machine = ServerMachine(SmtpLimits(), "mx.test", logins=logins, **options)  # type: ignore[arg-type]
        self.answers = list(answers)
        self.events: list[object] = []
        self.machine.answer(OK)
        self.machine.to_send()
        if hello:
            self.say(HELLO)
        self.events.clear()

    def say(self, *pieces: bytes) -> list[str]:
        """Bring pieces of input, and return the lines that were said to them."""
        for piece in pieces:
            self.machine.receive(piece)
            self._pump()
        return self.machine.to_send().decode().splitlines()

    def _pump(self) -> None:
        while (event := self.machine.next_event()) is not NEED_DATA and event is not WAITING:
            self.events.append(event)
            if isinstance(event, AuthBegin | AuthResponse):
                self.machine.answer(self.answers.pop(0) if self.answers else NO)
            elif isinstance(event, Hello | MailFrom | RcptTo | StartTls):
                self.machine.answer(OK)


def codes(lines: list[str]) -> list[str]:
    return [line[:3] for line in lines if line[3:4] == " "]


def test_a_login_with_an_initial_response_is_one_question() -> None:
    talk = Talk(IN_CLEAR, YES)
    assert talk.say(PLAIN) == ["235 2.7.0 logged in"]
    assert talk.events == [AuthBegin("PLAIN", b"\0a\0b")]


def test_a_login_by_challenges_reads_a_line_after_each() -> None:
    talk = Talk(IN_CLEAR, USERNAME, reply(334, "", ""), YES)
    assert talk.say(b"auth login\r\n") == ["334 VXNlcm5hbWU6"]
    assert talk.say(b"YWxpY2U=\r\n") == ["334 "]
    assert talk.say(b"\r\n") == ["235 2.7.0 logged in"]
    assert talk.events == [AuthBegin("LOGIN", None), AuthResponse(b"alice"), AuthResponse(b"")]


def test_an_equals_sign_is_an_empty_initial_response() -> None:
    talk = Talk(IN_CLEAR, NO)
    talk.say(b"AUTH PLAIN  = \r\n")
    assert talk.events == [AuthBegin("PLAIN", b"")]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"AUTH", "501 5.5.4 syntax is AUTH"),
        (b"AUTH ?", "501 5.5.4 syntax is AUTH"),
        (b"AUTH PLAINPLAINPLAINPLAINX", "501 5.5.4 syntax is AUTH"),
        (b"AUTH CRAM-MD5", "504 5.5.4"),
        (b"AUTH CRAM-MD5 AGEAYg==", "504 5.5.4"),
        (b"AUTH PLAIN AGEAYg=", "501 5.5.2"),
        (b"AUTH PLAIN AGEA Yg==", "501 5.5.2"),
        (b"AUTH PLAIN AGEA*Yg==", "501 5.5.2"),
        (b"AUTH PLAIN \xc3\xa4", "501 5.5.2"),
        (b"AUTH PLAIN *", "501 5.5.2"),
    ],
)
def test_a_malformed_command_is_refused_and_not_shown(command: bytes, answer: str) -> None:
    talk = Talk()
    (line,) = talk.say(command + b"\r\n")
    assert line.startswith(answer)
    (refused,) = talk.events
    assert isinstance(refused, CommandRefused)
    assert refused.command == "AUTH"
    assert codes(talk.say(b"NOOP\r\n")) == ["250"]


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (b"*", "501 5.7.0 login cancelled"),
        (b"c2VjcmV0!", "501 5.5.2"),
        (b"=", "501 5.5.2"),
        (b"QUIT", "501 5.5.2"),
        (b"MAIL FROM:<secret@a.test>", "501 5.5.2"),
        (b"x" * MAX_RESPONSE, "500 5.5.6"),
    ],
)
def test_a_malformed_response_ends_the_login_and_is_not_shown(response: bytes, answer: str) -> None:
    talk = Talk(IN_CLEAR, USERNAME)
    talk.say(b"AUTH LOGIN\r\n")
    if response == b"QUIT":
        # It is base64 by chance, and no command.
        response = b"QUI"
    assert talk.say(response + b"\r\n")[0].startswith(answer)
    refused = talk.events[-1]
    assert isinstance(refused, CommandRefused)
    assert refused.command == "AUTH"
    assert codes(talk.say(b"NOOP\r\n", MAIL)) == ["250", "250"]


def test_a_command_in_a_login_is_a_response() -> None:
    talk = Talk(IN_CLEAR, USERNAME, NO)
    talk.say(b"AUTH LOGIN\r\n")
    assert talk.say(b"QUIT\r\n") == ["535 5.7.8 wrong"]
    assert not talk.machine.closing


def test_a_response_may_have_twelve_kilobytes_and_a_command_not() -> None:
    talk = Talk(IN_CLEAR, USERNAME, USERNAME, NO)
    talk.say(b"AUTH LOGIN\r\n")
    long = base64.b64encode(b"x" * 9213)
    assert len(long) + 2 <= MAX_RESPONSE
    assert talk.say(long + b"\r\n") == ["334 VXNlcm5hbWU6"]
    assert talk.say(long + b"AAAA" + b"\r\n")[0].startswith("500 5.5.6")
    assert talk.say(b"NOOP " + b"x" * 3000 + b"\r\n")[0].startswith("500 5.5.2 command line longer than 2048")


def test_a_line_of_a_login_that_is_too_long_is_dropped_as_it_comes() -> None:
    talk = Talk(IN_CLEAR, USERNAME)
    talk.say(b"AUTH LOGIN\r\n")
    for _ in range(100):
        assert talk.say(b"x" * 1000) == []
        assert talk.machine.buffered <= MAX_RESPONSE
    assert talk.say(b"\r\n")[0].startswith("500 5.5.6")


@pytest.mark.parametrize("control", [b"\0", b"\n", b"\rx"])
def test_a_bare_control_in_a_response_ends_the_session(control: bytes) -> None:
    talk = Talk(IN_CLEAR, USERNAME)
    talk.say(b"AUTH LOGIN\r\n")
    assert talk.say(b"c2Vj" + control + b"cmV0\r\n")[0].startswith("500 5.5.2")
    (closed,) = talk.events[1:]
    assert isinstance(closed, Closed)
    assert "c2Vj" not in repr(closed)


def test_commands_behind_auth_wait_for_its_reply() -> None:
    talk = Talk(IN_CLEAR)
    talk.machine.receive(PLAIN + MAIL)
    assert isinstance(talk.machine.next_event(), AuthBegin)
    assert talk.machine.next_event() is WAITING
    assert talk.machine.to_send() == b""
    talk.machine.answer(NO)
    assert isinstance(talk.machine.next_event(), MailFrom)
    assert talk.machine.to_send() == NO.wire


def test_lines_behind_a_refused_auth_are_no_responses() -> None:
    talk = Talk(IN_CLEAR)
    assert codes(talk.say(b"AUTH GSSAPI\r\nYWxpY2U=\r\n*\r\n")) == ["504", "500", "554"]
    assert not any(isinstance(event, AuthBegin | AuthResponse) for event in talk.events)


def test_a_second_login_is_refused() -> None:
    talk = Talk(IN_CLEAR, YES)
    assert codes(talk.say(PLAIN, PLAIN)) == ["235", "503"]
    assert not any("AUTH" in line for line in talk.say(HELLO))


def test_a_login_may_be_tried_again_after_a_failure() -> None:
    assert codes(Talk(IN_CLEAR, NO, YES).say(PLAIN, PLAIN)) == ["535", "235"]


@pytest.mark.parametrize("before", [MAIL, MAIL + b"RCPT TO:<b@b.test>\r\n"])
def test_a_login_in_a_transaction_is_refused(before: bytes) -> None:
    talk = Talk(IN_CLEAR, YES)
    talk.say(before)
    assert talk.say(PLAIN) == ["503 5.5.1 the sender is already given; RSET starts anew"]
    assert codes(talk.say(b"RSET\r\n", PLAIN)) == ["250", "235"]


def test_a_login_before_the_hello_is_refused() -> None:
    assert codes(Talk(IN_CLEAR, YES, hello=False).say(PLAIN)) == ["503"]


def test_421_to_a_login_ends_the_session() -> None:
    talk = Talk(IN_CLEAR, reply(421, "4.7.0", "too many"))
    assert codes(talk.say(PLAIN + MAIL)) == ["421"]
    assert talk.machine.closing


def test_a_login_is_offered_with_its_mechanisms() -> None:
    assert "250-AUTH PLAIN LOGIN" in Talk(IN_CLEAR).say(HELLO)
    assert not any("AUTH" in line for line in Talk(LoginTerms()).say(HELLO))
    assert Talk(LoginTerms()).say(PLAIN) == ["503 5.5.1 AUTH is not offered"]


def test_in_clear_a_login_is_not_offered_and_refused_if_it_is_offered_inside_tls() -> None:
    talk = Talk(IN_TLS, starttls=True)
    assert not any("AUTH" in line for line in talk.say(HELLO))
    assert talk.say(PLAIN)[0].startswith("538 5.7.11")
    assert not any(isinstance(event, AuthBegin) for event in talk.events)
    talk.say(b"STARTTLS\r\n")
    talk.machine.tls_started()
    assert "250-AUTH PLAIN LOGIN" in talk.say(HELLO)
    talk.answers.append(YES)
    assert codes(talk.say(PLAIN)) == ["235"]


def test_a_session_that_begins_with_tls_offers_what_is_offered_inside_tls() -> None:
    assert "250-AUTH PLAIN LOGIN" in Talk(IN_TLS, starttls=True, tls=True).say(HELLO)


def test_mechanisms_may_be_known_after_the_handshake_only() -> None:
    talk = Talk(IN_TLS, USERNAME, tls=True)
    talk.machine.offer_logins((*MECHANISMS, "SCRAM-SHA-256-PLUS"))
    assert "250-AUTH PLAIN LOGIN SCRAM-SHA-256-PLUS" in talk.say(HELLO)
    assert codes(talk.say(b"AUTH SCRAM-SHA-256-PLUS\r\n")) == ["334"]


def test_starttls_forgets_the_login_and_all_that_came_with_it() -> None:
    lenient = replace(REQUIRED, leniency=Leniency("own.test", names=True))
    talk = Talk(lenient, YES, YES, starttls=True, dsn=False)
    assert "250-DSN" not in talk.say(HELLO)
    talk.say(PLAIN)
    assert "250-DSN" in talk.say(HELLO)
    assert codes(talk.say(b"MAIL FROM:<a> RET=HDRS\r\n", b"RSET\r\n")) == ["250", "250"]
    talk.say(b"STARTTLS\r\n")
    talk.machine.tls_started()
    assert "250-DSN" not in talk.say(HELLO)
    assert codes(talk.say(MAIL)) == ["530"]
    assert codes(talk.say(PLAIN, MAIL)) == ["235", "250"]


@pytest.mark.parametrize("hello", [HELLO, b"HELO client.test\r\n"])
def test_a_port_for_logins_takes_no_mail_without_one(hello: bytes) -> None:
    talk = Talk(REQUIRED, NO, YES, hello=False, starttls=True, leniency=Leniency("own.test", names=True, haste=True))
    assert codes(talk.say(MAIL)) == ["503"]
    talk.say(hello)
    for command in (b"MAIL FROM:<a@a.test>", b"RCPT TO:<b@b.test>", b"DATA", b"VRFY a", b"MAIL FROM:<>"):
        assert talk.say(command + b"\r\n")[0].startswith("530 5.7.0")
    assert codes(talk.say(b"BDAT 5 LAST\r\nQUIT\n")) == ["530"]
    assert codes(talk.say(b"NOOP\r\n", b"RSET\r\n", b"HELP\r\n", hello, PLAIN)) == ["250", "250", "214", "250", "535"]
    assert codes(talk.say(MAIL)) == ["530"]
    assert codes(talk.say(PLAIN, MAIL, b"RSET\r\n", MAIL, hello, MAIL)) == ["235", "250", "250", "250", "250", "250"]


def test_a_port_for_logins_begins_tls_before_the_login() -> None:
    talk = Talk(replace(IN_TLS, required=True), starttls=True)
    assert codes(talk.say(MAIL, b"STARTTLS\r\n")) == ["530", "250"]
    assert not talk.machine.closing


def test_failures_of_form_count_as_errors() -> None:
    talk = Talk(IN_CLEAR, *[USERNAME] * 20)
    said = [code for _ in range(11) for code in codes(talk.say(b"AUTH LOGIN\r\n", b"*\r\n"))]
    assert said == ["334", "501"] * 10 + ["334", "421"]


def test_logins_count_as_commands_without_mail() -> None:
    talk = Talk(IN_CLEAR, *[NO] * 60)
    said = [code for _ in range(50) for code in codes(talk.say(PLAIN))]
    assert said == ["535"] * 49 + ["421"]


def test_responses_and_passwords_are_not_in_the_text_of_events() -> None:
    assert "secret" not in repr((AuthBegin("PLAIN", b"secret"), AuthResponse(b"secret")))


#: The commands that a client of a port for logins may send without one (RFC 4954 section 6), and those that fail for
#: another reason.
FREE = {b"EHLO", b"HELO", b"NOOP", b"RSET", b"QUIT", b"AUTH", b"STARTTLS", b"HELP"}
REFUSED_ANYHOW = {b"BDAT", b"EXPN", b"ETRN", b"TURN", b"PROXY"}


def test_the_table_allows_without_a_login_the_commands_of_the_rfc() -> None:
    methods = {name for name, verb in VERBS.items() if verb is VERBS[b"GET"]}
    allowed = {name for name, verb in VERBS.items() if Phase.LOGIN in verb.phases}
    assert allowed - methods == FREE | REFUSED_ANYHOW


LINES = st.sampled_from(
    [
        HELLO,
        MAIL,
        PLAIN,
        b"AUTH LOGIN\r\n",
        b"AUTH LOGIN YWxpY2U=\r\n",
        b"AUTH GSSAPI\r\n",
        b"YWxpY2U=\r\n",
        b"\r\n",
        b"*\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"STARTTLS\r\n",
        b"x" * 70 + b"\r\n",
        b"a\nb\r\n",
    ]
)
ANSWERS = st.lists(st.sampled_from([YES, NO, USERNAME, USERNAME, reply(421, "4.7.0", "no")]), max_size=8)


@given(st.lists(LINES, max_size=12).map(b"".join), ANSWERS, st.sampled_from([IN_CLEAR, IN_TLS, REQUIRED]), st.data())
@settings(max_examples=300, deadline=None)
def test_any_split_of_the_input_gives_the_same_events_and_replies(
    wire: bytes, answers: list[Reply], terms: LoginTerms, data: st.DataObject
) -> None:
    once, twice = Talk(terms, *answers), Talk(terms, *answers)
    assert once.say(wire) == twice.say(*data.draw(splits(wire)))
    assert once.events == twice.events
    assert once.machine.closing == twice.machine.closing


@given(st.lists(st.one_of(LINES, wild_bytes), max_size=12), ANSWERS, st.sampled_from([IN_CLEAR, REQUIRED]))
@settings(max_examples=300, deadline=None)
def test_without_a_login_no_input_brings_mail_into_a_port_for_logins(
    pieces: list[bytes], answers: list[Reply], terms: LoginTerms
) -> None:
    talk = Talk(terms, *answers, leniency=Leniency("own.test", names=True, haste=True))
    given = 0
    for piece in pieces:
        talk.say(piece)
        for event in talk.events:
            given += isinstance(event, AuthBegin | AuthResponse)
            logged_in = YES in answers[:given]
            assert not (isinstance(event, MailFrom) and terms.required and not logged_in)
        talk.events.clear()
