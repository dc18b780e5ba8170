"""The server's machine beyond the dialogues: events, segments, and drivers that break the contract."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.address import Address
from mta.smtp.errors import LocalProtocolError
from mta.smtp.limits import SmtpLimits
from mta.smtp.parameters import Recipient
from mta.smtp.replies import reply
from mta.smtp.server import canned_replies
from mta.smtp.server.answers import AFTER_ANSWER
from mta.smtp.server.events import (
    NEED_DATA,
    WAITING,
    BodyEnd,
    BodyPart,
    BodyRefused,
    Closed,
    DataBegin,
    Hello,
    MailFrom,
    RcptTo,
    Reset,
    StartTls,
)
from mta.smtp.server.machine import ServerMachine
from mta.smtp.server.phases import COMMAND_PHASES, PendingQuestion
from mta.smtp.server.verbs import OUT_OF_PLACE, VERBS
from tests.strategies import splits, wild_bytes

HELLO = reply(220, "", "mx.test")
QUEUED = reply(250, "2.0.0", "queued")
LATER = reply(451, "4.3.0", "try later")
ANSWERS = {
    Hello: HELLO,
    MailFrom: canned_replies.SENDER_OK,
    RcptTo: canned_replies.RECIPIENT_OK,
    DataBegin: canned_replies.SEND_DATA,
    BodyEnd: QUEUED,
    StartTls: canned_replies.READY_FOR_TLS,
}
TO_BODY = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n"
TO_CHUNK = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n"


def greeted(starttls=False, **limits):
    machine = ServerMachine(replace(SmtpLimits(), **limits), "mx.test", starttls=starttls)
    machine.answer(HELLO)
    machine.to_send()
    return machine


def ready(**limits):
    machine = greeted(**limits)
    play(machine, b"EHLO c.test\r\n")
    return machine


def in_body(**limits):
    machine = ready(**limits)
    play(machine, TO_BODY)
    return machine


def play(machine, *pieces, answers=ANSWERS):
    """Bring pieces, answer at once what asks, and return the events and what was said."""
    events = []
    for piece in pieces:
        machine.receive(piece)
        while (event := machine.next_event()) is not NEED_DATA and event is not WAITING:
            events.append(event)
            if type(event) in answers:
                machine.answer(answers[type(event)])
    return events, machine.to_send()


def told(events):
    """Events as a split cannot change them: bodies joined, and forgotten where they were refused."""
    result = []
    for event in events:
        if isinstance(event, BodyRefused | Closed) and result and isinstance(result[-1], BodyPart):
            result.pop()
        if isinstance(event, BodyPart) and result and isinstance(result[-1], BodyPart):
            result[-1] = BodyPart(result[-1].data + event.data)
        else:
            result.append(event)
    return result


def test_a_small_message_is_one_part_and_an_end():
    machine = ready()
    events, said = play(machine, TO_BODY)
    assert events == [
        MailFrom(Address("a", "x.test")),
        RcptTo(Recipient(Address("b", "x.test"))),
        DataBegin(chunking=False),
    ]
    assert said == canned_replies.SENDER_OK.wire + canned_replies.RECIPIENT_OK.wire + canned_replies.SEND_DATA.wire
    events, said = play(machine, b"Hello.\r\n..\r\n.\r\n")
    assert events == [BodyPart(b"Hello.\r\n.\r\n"), BodyEnd()]
    assert said == QUEUED.wire


def test_an_empty_message_has_no_part():
    assert play(in_body(), b".\r\n")[0] == [BodyEnd()]


def test_chunks_are_announced_once_and_end_once():
    events, said = play(ready(), TO_CHUNK + b"BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\n")
    assert events[2:] == [DataBegin(chunking=True), BodyPart(b"a\r\n"), BodyPart(b"b\r\n"), BodyEnd()]
    assert said.endswith(b"250 2.0.0 3 octets received\r\n" + QUEUED.wire)


def test_a_last_chunk_without_a_line_end_gets_one():
    events, _ = play(ready(), TO_CHUNK + b"BDAT 1 LAST\r\na")
    assert told(events)[3:] == [BodyPart(b"a\r\n"), BodyEnd()]


def test_a_refused_first_chunk_is_passed_over_and_answered_once():
    answers = {**ANSWERS, DataBegin: LATER}
    events, said = play(ready(), TO_CHUNK + b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", answers=answers)
    assert events[2:] == [DataBegin(chunking=True)]
    assert said.endswith(LATER.wire + canned_replies.NOTHING_DONE.wire)


def test_refused_data_ends_the_transaction():
    machine = ready()
    _, said = play(machine, TO_BODY, answers={**ANSWERS, DataBegin: LATER})
    assert said.endswith(LATER.wire)
    assert play(machine, b"MAIL FROM:<>\r\n")[0] == [MailFrom(None)]


@pytest.mark.parametrize("verdict", [QUEUED, LATER, reply(554, "5.6.0", "loop")])
def test_the_verdict_on_a_message_goes_out_and_the_next_may_begin(verdict):
    machine = in_body()
    _, said = play(machine, b"a\r\n.\r\n", answers={BodyEnd: verdict})
    assert said == verdict.wire
    assert play(machine, TO_BODY)[1].endswith(canned_replies.SEND_DATA.wire)


def test_pipelined_commands_wait_for_the_answer():
    machine = ready()
    machine.receive(TO_CHUNK + b"NOOP\r\n")
    assert machine.next_event() == MailFrom(Address("a", "x.test"))
    assert machine.next_event() is WAITING
    assert machine.to_send() == b""
    assert machine.buffered == len(b"RCPT TO:<b@x.test>\r\nNOOP\r\n")
    machine.answer(canned_replies.SENDER_OK)
    assert machine.next_event() == RcptTo(Recipient(Address("b", "x.test")))
    assert machine.to_send() == canned_replies.SENDER_OK.wire


def test_a_refused_body_gives_its_event_after_its_end():
    events, said = play(in_body(message_size=4), b"a\r\n", b"b\r\n", b"c\r\n", b".\r\n")
    refused = BodyRefused(canned_replies.message_too_large(replace(SmtpLimits(), message_size=4)))
    assert events == [BodyPart(b"a"), BodyPart(b"\r\nb"), refused]
    assert said.startswith(b"552 5.3.4 ")


def test_reset_gives_an_event_only_during_a_transaction():
    machine = ready()
    assert play(machine, b"RSET\r\n")[0] == []
    assert play(machine, TO_CHUNK + b"RSET\r\n")[0][-1] == Reset()
    assert play(machine, TO_CHUNK + b"BDAT 1\r\naRSET\r\n")[0][-1] == Reset()


def test_a_new_hello_follows_the_reset_of_its_transaction():
    machine = ready()
    assert play(machine, TO_CHUNK + b"HELO c\r\n")[0][-2:] == [Reset(), Hello("c", extended=False)]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"QUIT\r\nNOOP\r\n", "QUIT"),
        (b"GET / HTTP/1.0\r\n", "spoke HTTP"),
        (b"NOOP\nQUIT\r\n", "bare LF in a command"),
        (TO_BODY + b"a\r\n", "input behind DATA"),
        (TO_CHUNK + b"BDAT 2 LAST\r\na\n", "bare LF in the message"),
        (TO_CHUNK + b"BDAT x\r\n", canned_replies.NO_CHUNK_SIZE.text),
    ],
)
def test_the_end_of_a_session_has_an_event_with_its_reason(wire, reason):
    machine = ready()
    events, said = play(machine, wire)
    assert isinstance(events[-1], Closed)
    assert events[-1].reason == reason
    assert said.endswith(events[-1].reply.wire)
    assert machine.closing
    assert play(machine, b"NOOP\r\n") == ([], b"")
    assert machine.buffered == 0


@pytest.mark.parametrize("greeting", [reply(554, "", "no"), reply(421, "", "later")])
def test_a_refused_client_is_sent_away(greeting):
    machine = ServerMachine(SmtpLimits(), "mx.test")
    machine.answer(greeting)
    assert machine.next_event() == Closed(greeting.text, greeting)
    assert machine.to_send() == greeting.wire
    assert machine.closing


@pytest.mark.parametrize("asked", [MailFrom, RcptTo, DataBegin, BodyEnd, Hello])
def test_an_answer_of_421_ends_the_session(asked):
    machine, goodbye = greeted(), reply(421, "4.3.2", "stopping")
    events, said = play(machine, b"EHLO c\r\n", TO_BODY, b".\r\n", answers={**ANSWERS, asked: goodbye})
    assert events[-1] == Closed("stopping", goodbye)
    assert said.endswith(goodbye.wire)
    assert machine.closing


def test_the_driver_may_end_a_session_at_any_time():
    machine, timeout = in_body(), reply(421, "4.4.2", "timeout")
    machine.close(timeout, "no data for 180 s")
    assert machine.next_event() == Closed("no data for 180 s", timeout)
    assert machine.to_send() == timeout.wire
    machine.close(timeout, "again")
    machine.lost()
    assert machine.next_event() is NEED_DATA


def test_a_verdict_that_comes_after_the_client_left_is_dropped():
    machine = in_body()
    machine.receive(b".\r\n")
    assert machine.next_event() == BodyEnd()
    machine.lost()
    assert machine.next_event() == Closed("connection lost")
    machine.answer(QUEUED)
    assert machine.to_send() == b""
    with pytest.raises(LocalProtocolError):
        machine.answer(QUEUED)


def test_an_answer_without_a_question_is_a_local_error():
    machine = ready()
    with pytest.raises(LocalProtocolError, match="try later"):
        machine.answer(LATER)
    play(machine, b"MAIL FROM:<>\r\n")
    with pytest.raises(LocalProtocolError):
        machine.answer(canned_replies.SENDER_OK)


def test_tls_without_starttls_is_a_local_error():
    with pytest.raises(LocalProtocolError):
        ready(starttls=True).tls_started()


def test_refused_starttls_leaves_the_session_in_clear():
    machine = ready(starttls=True)
    answers = {**ANSWERS, StartTls: reply(454, "4.7.0", "no certificate")}
    events, said = play(machine, b"STARTTLS\r\nNOOP\r\n", answers=answers)
    assert events == [StartTls()]
    assert said == b"454 4.7.0 no certificate\r\n" + canned_replies.NOTHING_DONE.wire
    assert b"STARTTLS" in play(machine, b"EHLO c\r\n")[1]


def test_tls_is_not_offered_inside_tls():
    machine = ready(starttls=True)
    play(machine, b"STARTTLS\r\n")
    machine.tls_started()
    assert b"STARTTLS" not in play(machine, b"EHLO c\r\n")[1]


def test_a_message_size_of_0_is_no_limit():
    machine = ready(message_size=0)
    assert play(machine, b"MAIL FROM:<> SIZE=999999999999\r\n")[0] == [MailFrom(None, size=999999999999)]
    play(machine, b"RCPT TO:<b@x.test>\r\nDATA\r\n")
    assert play(machine, b"x\r\n" * 50000, b".\r\n")[0][-1] == BodyEnd()


def test_errors_are_forgiven_up_to_the_limit():
    machine = greeted(errors=2)
    assert play(machine, b"X\r\n" * 2)[1] == canned_replies.UNKNOWN_COMMAND.wire * 2
    assert play(machine, b"X\r\n" * 2)[1] == canned_replies.TOO_MANY_ERRORS.wire


def test_every_phase_that_reads_commands_can_refuse_one_and_every_question_has_a_sequel():
    assert set(OUT_OF_PLACE) == COMMAND_PHASES
    assert set(AFTER_ANSWER) == set(PendingQuestion)
    assert all(verb.phases <= COMMAND_PHASES for verb in VERBS.values())


GROUPS = st.sampled_from(
    [
        b"EHLO c\r\n",
        b"NOOP\r\n",
        b"RSET\r\n",
        b"X\r\n",
        b"STARTTLS\r\n",
        b"MAIL FROM:<a@x.test> SIZE=9\r\n",
        b"RCPT TO:<b@x.test>\r\n",
        TO_CHUNK,
        b"BDAT 5\r\na\r\nb\r",
        b"BDAT 4\r\n\nabc",
        b"BDAT 3 LAST\r\n.\r\n",
        b"BDAT 2 LAST\r\na\r",
        b"NOOP " + b"x" * 90 + b"\r\n",
        b"\r\n",
    ]
)
TEXT = st.sampled_from([b"a\r\n", b"..\r\n", b".a\r\n", b"x" * 20 + b"\r\n", b"\r\n", b"b\nc", b"\r\n.\r", b"\0"])
CONVERSATIONS = st.lists(
    st.one_of(
        GROUPS.map(lambda data: [data]),
        st.lists(TEXT, max_size=6).map(lambda lines: [TO_BODY, b"".join(lines) + b"\r\n.\r\nRSET\r\n"]),
    ),
    max_size=10,
).map(lambda groups: [segment for group in groups for segment in group])
SMALL = {"command_line": 64, "text_line": 10, "message_size": 30, "errors": 4, "idle_commands": 6, "recipients": 3}


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_split_of_the_wire_gives_the_same_events_and_replies(data):
    segments = data.draw(CONVERSATIONS)
    once, twice = ready(**SMALL), ready(**SMALL)
    for segment in segments:
        expected = play(once, segment)
        events, said = play(twice, *data.draw(splits(segment)))
        assert told(events) == told(expected[0])
        assert said == expected[1]
    assert once.closing == twice.closing


@given(st.lists(st.one_of(wild_bytes, GROUPS, st.just(TO_BODY)), max_size=12), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_input_makes_the_machine_raise(pieces, starttls):
    machine = ready(starttls=starttls)
    events, _ = play(machine, *pieces)
    assert machine.closing == any(isinstance(event, Closed) for event in events)


def test_a_session_that_begins_inside_tls_offers_no_second_one():
    machine = ServerMachine(SmtpLimits(), "mx.test", starttls=True, tls=True)
    machine.answer(HELLO)
    _, said = play(machine, b"EHLO c.test\r\nSTARTTLS\r\n")
    assert b"STARTTLS" not in said.partition(b"\r\n503 ")[0]
    assert b"\r\n503 5.5.1" in said
