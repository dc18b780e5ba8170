"""Every end of data known from SMTP smuggling: one message at most is taken, and what follows is never a command.

Only CRLF.CRLF ends a message (RFC 5321 section 4.1.1.4). What a careless server would also take for it is either text,
and then it arrives as text, or it holds a bare CR, a bare LF or a NUL: then one reply says so and the session is over.
"""

import itertools

import pytest

from mta.smtp.framing import DotStuffer
from mta.smtp.limits import Leniency
from mta.smtp.server.events import Closed, MailFrom
from tests.drivers.server_machine import Serving, cuts

HELLO = b"EHLO client.test\r\n"
ENVELOPE = b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.test>\r\n"
#: What the attacker wants to be taken for commands, and the true end of the data behind it.
SMUGGLED = b"MAIL FROM:<x@evil.test>\r\nRCPT TO:<y@evil.test>\r\nDATA\r\nsmuggled"
END = b"\r\n.\r\n"

CR, LF, NUL, TEXT = "bare CR", "bare LF", "NUL", "text"

#: What stands before the smuggled commands: by what it is refused first, or that it is text.
ENDINGS = {
    # The classic ones: some servers took a bare LF for a line end, on one side of the dot or on both.
    "LF . LF": (b"\n.\n", LF),
    "LF . CRLF": (b"\n.\r\n", LF),
    "CRLF . LF": (b"\r\n.\n", LF),
    # A bare CR in the same places.
    "CR . CR": (b"\r.\r", CR),
    "CR . CRLF": (b"\r.\r\n", CR),
    "CRLF . CR": (b"\r\n.\r", CR),
    "CR . LF": (b"\r.\n", CR),
    "LF . CR": (b"\n.\r", LF),
    "LFCR . LFCR": (b"\n\r.\n\r", LF),
    "LFCR . CRLF": (b"\n\r.\r\n", LF),
    "CRLF . LFCR": (b"\r\n.\n\r", LF),
    # One CR too many.
    "CRCRLF . CRLF": (b"\r\r\n.\r\n", CR),
    "CRLF . CRCRLF": (b"\r\n.\r\r\n", CR),
    "CRCRLF . CRCRLF": (b"\r\r\n.\r\r\n", CR),
    "CRLFCR . CRLF": (b"\r\n\r.\r\n", CR),
    "CRLF CR . CR CRLF": (b"\r\n\r.\r\r\n", CR),
    "CRLFLF . CRLF": (b"\r\n\n.\r\n", LF),
    "CRLF . CRLFLF split": (b"\r\n.\r\r\n\n", CR),
    # A NUL that a server in C stops at, or drops.
    "CRLF NUL . CRLF": (b"\r\n\0.\r\n", NUL),
    "CRLF . NUL CRLF": (b"\r\n.\0\r\n", NUL),
    "CRLF . CR NUL LF": (b"\r\n.\r\0\n", CR),
    "CR NUL LF . CRLF": (b"\r\0\n.\r\n", CR),
    "NUL CRLF . LF": (b"\0\r\n.\n", NUL),
    "NUL . NUL": (b"\0.\0", NUL),
    # Dots that are doubled where one was meant, and the other way round.
    "LF .. LF": (b"\n..\n", LF),
    "CRLF .. LF": (b"\r\n..\n", LF),
    "CRLF .. CR": (b"\r\n..\r", CR),
    "CRLF .. CRCRLF": (b"\r\n..\r\r\n", CR),
    "CRLF .. CRLF": (b"\r\n..\r\n", TEXT),
    "CRLF ... CRLF": (b"\r\n...\r\n", TEXT),
    "CRLF .. . CRLF": (b"\r\n.. .\r\n", TEXT),
    "CRLF . blank CRLF": (b"\r\n. \r\n", TEXT),
    "CRLF blank . CRLF": (b"\r\n .\r\n", TEXT),
    "CRLF . tab CRLF": (b"\r\n.\t\r\n", TEXT),
    # What looks like a line end to a person or to a library, and is none.
    "VT": (b"\x0b.\x0b", TEXT),
    "CRLF . VT": (b"\r\n.\x0b", TEXT),
    "FF": (b"\x0c.\x0c", TEXT),
    "RS": (b"\x1e.\x1e", TEXT),
    "NEL as an octet": (b"\x85.\x85", TEXT),
    "NEL": ("\u0085.\u0085".encode(), TEXT),
    "CRLF . NEL": ("\r\n.\u0085".encode(), TEXT),
    "LINE SEPARATOR": ("\u2028.\u2028".encode(), TEXT),
    "PARAGRAPH SEPARATOR": ("\u2029.\u2029".encode(), TEXT),
    "IDEOGRAPHIC FULL STOP": ("\r\n\u3002\r\n".encode(), TEXT),
    "FULLWIDTH FULL STOP": ("\r\n\uff0e\r\n".encode(), TEXT),
    "UTF-16": ("\r\n.\r\n".encode("utf-16-le"), CR),
    "overlong UTF-8 dot": (b"\r\n\xc0\xae\r\n", TEXT),
    "overlong UTF-8 LF": (b"\r\n.\xc0\x8a", TEXT),
    "soft CRLF of quoted-printable": (b"=\r\n.=\r\n", TEXT),
    "encoded CRLF of quoted-printable": (b"=0D=0A.=0D=0A", TEXT),
}
every_ending = pytest.mark.parametrize(("ending", "fate"), ENDINGS.values(), ids=ENDINGS)

#: All of these before a dot, or two, and all of them behind it: what the table above is a choice of.
BREAKS = [
    *(b"", b"\r\n", b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\r", b"\n\r\n", b"\r\n\n", b"\n\n", b"\r\r"),
    *(b"\0", b"\0\r\n", b"\r\n\0", b"\r\0\n", b"\0\n", b"\n\0", b"\r\0", b" \r\n", b"\r\n ", b"\x0b", b"\x85"),
]


def ready():
    serving = Serving()
    serving.hear(HELLO)
    return serving


def in_data():
    serving = ready()
    assert serving.hear(ENVELOPE + b"DATA\r\n")[-1].startswith("354")
    return serving


def around(wire, ending):
    """Return the places in and next to an ending."""
    at = wire.index(ending)
    return range(max(1, at - 1), min(len(wire), at + len(ending) + 2))


def unstuffed(text):
    return text.replace(b"\r\n.", b"\r\n")


def first_bare(text):
    """Name the first octet that is no text, by a reading of its own: one octet after the other."""
    for at, octet in enumerate(text):
        if octet == 0:
            return NUL
        if octet == 13 and text[at + 1 : at + 2] != b"\n":
            return CR
        if octet == 10 and text[at - 1 : at] != b"\r":
            return LF
    return None


def assert_refused(serving, said, name):
    assert said == [f"550 5.6.11 {name} in the message; lines end in CRLF"]
    assert serving.machine.closing
    assert serving.messages == []
    assert serving.senders == ["a@client.test"]
    assert isinstance(serving.events[-1], Closed)
    assert serving.hear(b"NOOP\r\n", SMUGGLED + END) == []


def assert_one_message(serving, said, body):
    assert said == ["250 2.0.0 queued"]
    assert serving.messages == [body]
    assert serving.senders == ["a@client.test"]


@every_ending
def test_no_ending_but_one_ends_a_message_that_comes_by_data_wherever_it_is_cut(ending, fate):
    wire = b"Subject: x\r\n\r\nbefore" + ending + SMUGGLED + END
    for pieces in cuts(wire, around(wire, ending)):
        serving = in_data()
        said = serving.hear(*pieces)
        if fate is TEXT:
            assert_one_message(serving, said, unstuffed(wire[:-3]))
        else:
            assert_refused(serving, said, fate)


@every_ending
def test_a_message_that_begins_with_the_ending_fares_alike(ending, fate):
    wire = ending.removeprefix(b"\r\n") + SMUGGLED + END
    for pieces in cuts(wire, range(1, len(ending) + 3)):
        serving = in_data()
        said = serving.hear(*pieces)
        if fate is TEXT:
            assert_one_message(serving, said, unstuffed(b"\r\n" + wire[:-3])[2:])
        else:
            assert_refused(serving, said, first_bare(wire))


@every_ending
def test_two_cuts_do_not_create_an_end_of_data(ending, fate):
    wire = b"a" + ending + b"RSET\r\n.\r\n"
    for one, two in itertools.combinations(range(1, len(wire)), 2):
        serving = in_data()
        said = serving.hear(wire[:one], wire[one:two], wire[two:])
        if fate is TEXT:
            assert_one_message(serving, said, unstuffed(wire[:-3]))
        else:
            assert_refused(serving, said, fate)


@every_ending
def test_no_ending_at_all_ends_a_message_that_comes_by_bdat_wherever_it_is_cut(ending, fate):
    text = b"Subject: x\r\n\r\nbefore" + ending + SMUGGLED + END
    wire = b"BDAT %d LAST\r\n" % len(text) + text
    for pieces in cuts(wire, around(wire, ending)):
        serving = ready()
        serving.hear(ENVELOPE)
        said = serving.hear(*pieces)
        if fate is TEXT:
            assert_one_message(serving, said, text)
        else:
            assert_refused(serving, said, fate)


@every_ending
def test_chunks_that_part_an_ending_make_no_end_of_it(ending, fate):
    text = b"before" + ending + SMUGGLED + END
    for at in around(text, ending):
        for chunks in (two_segments, one_segment):
            serving = ready()
            serving.hear(ENVELOPE)
            said = serving.hear(*chunks(text, at))
            if fate is TEXT:
                assert said[-1:] == ["250 2.0.0 queued"]
                assert serving.messages == [text]
            else:
                # A chunk before it may have been taken.
                assert_refused(serving, [line for line in said if line[:3] != "250"], fate)


def two_segments(text, at):
    """Send two chunks, one segment each."""
    return [b"BDAT %d\r\n" % at + text[:at], b"BDAT %d LAST\r\n" % (len(text) - at) + text[at:]]


def one_segment(text, at):
    """Send the same in one segment."""
    return [b"".join(two_segments(text, at))]


@pytest.mark.parametrize("dots", [b".", b"..", b""])
def test_every_pair_of_breaks_around_a_dot_ends_the_message_or_the_session_as_its_octets_say(dots):
    for before, after in itertools.product(BREAKS, repeat=2):
        wire = b"a" + before + dots + after + b"RSET\r\n.\r\n"
        end = (b"\r\n" + wire).index(END)
        text = unstuffed(b"\r\n" + wire[:end])[2:]
        # What stands behind a message that has ended is a command: RSET and the rest are answered or end the session.
        name = first_bare(text)
        for pieces in cuts(wire, range(1, len(wire) - 6)):
            serving = in_data()
            said = serving.hear(*pieces)
            if name is None:
                assert serving.messages == [text], wire
            else:
                assert_refused(serving, said, name)


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n..\r\n.\r\n", b"..\r\n.\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"\r\n\r\n..\r\n\r\n.\r\n", b"\r\n\r\n.\r\n\r\n"),
        (b". \r\n.\r\n", b" \r\n"),
        (b"\x80\xff\r\n.\r\n", b"\x80\xff\r\n"),
    ],
)
def test_legal_oddities_are_read_correctly_and_the_next_command_too(wire, body):
    for pieces in cuts(wire + b"NOOP\r\nMAIL FROM:<next@client.test>\r\n"):
        serving = in_data()
        said = serving.hear(*pieces)
        assert [line[:3] for line in said] == ["250", "250", "250"]
        assert serving.messages == [body]
        assert serving.events[-1].sender.local == "next"


@every_ending
def test_a_body_that_is_refused_for_its_size_hides_no_command_either(ending, fate):
    wire = b"x" * 90 + ending + SMUGGLED + END
    for pieces in cuts(wire, around(wire, ending)):
        serving = Serving(message_size=50)
        serving.hear(HELLO + ENVELOPE + b"DATA\r\n")
        said = serving.hear(*pieces)
        if fate is TEXT:
            assert [line[:9] for line in said] == ["552 5.3.4"]
        else:
            assert_refused(serving, said, fate)
        assert serving.senders == ["a@client.test"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"NOOP\nMAIL FROM:<x@evil.test>\r\n", LF),
        (b"NOOP\rMAIL FROM:<x@evil.test>\r\n", CR),
        (b"NOOP\r\r\nMAIL FROM:<x@evil.test>\r\n", CR),
        (b"NOOP\n\rMAIL FROM:<x@evil.test>\r\n", LF),
        (b"NO\0OP\r\nMAIL FROM:<x@evil.test>\r\n", NUL),
        (b"NOOP\0\r\nMAIL FROM:<x@evil.test>\r\n", NUL),
        (b"\0NOOP\r\nMAIL FROM:<x@evil.test>\r\n", NUL),
        (b"NOOP\r\0\nMAIL FROM:<x@evil.test>\r\n", CR),
        (b"\nMAIL FROM:<x@evil.test>\r\n", LF),
        (b"MAIL FROM:<x@evil.test>\n\r\n", LF),
        (b"x" * 3000 + b"\nMAIL FROM:<x@evil.test>\r\n", LF),
    ],
)
def test_a_command_with_a_bare_line_end_ends_the_session_with_one_reply(line, name):
    for pieces in cuts(line, range(1, 30)):
        serving = ready()
        assert serving.hear(*pieces) == [f"500 5.5.2 {name} in a command; lines end in CRLF"]
        assert serving.machine.closing
        assert not any(isinstance(event, MailFrom) for event in serving.events)


@every_ending
def test_to_a_client_that_may_send_bare_lfs_no_other_ending_ends_a_message_either(ending, fate):
    wire = b"Subject: x\r\n\r\nbefore" + ending + SMUGGLED + END
    for pieces in cuts(wire, around(wire, ending)):
        serving = Serving(leniency=Leniency(line_feeds=True))
        serving.hear(HELLO)
        serving.hear(ENVELOPE + b"DATA\r\n")
        said = serving.hear(*pieces)
        assert serving.senders == ["a@client.test"]
        text = unstuffed(wire[:-3])
        if b"\0" in text or b"\r" in text.replace(b"\r\n", b""):
            assert serving.messages == []
            assert serving.machine.closing
        else:
            assert said == ["250 2.0.0 queued"]
            assert serving.messages == [text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")]
            stuffer = DotStuffer()
            sent = stuffer.stuff(serving.messages[0]) + stuffer.end()
            assert (b"\r\n" + sent).find(END) == len(sent) + 2 - len(END)
