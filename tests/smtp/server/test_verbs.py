"""Input that is not SMTP, input behind a command that must be the last, and messages that were not accepted."""

import itertools

import pytest

from mta.smtp.replies import reply
from mta.smtp.server import canned_replies
from mta.smtp.server.events import BodyEnd, Closed, DataBegin, Hello, MailFrom, RcptTo, StartTls
from tests.drivers.server_machine import Serving, cuts, octets

HELLO = b"EHLO client.test\r\n"
MAIL = b"MAIL FROM:<a@client.test>\r\n"
RCPT = b"RCPT TO:<b@example.test>\r\n"
SMUGGLED = b"MAIL FROM:<x@evil.test>\r\nRCPT TO:<y@evil.test>\r\nDATA\r\n"
NO = reply(550, "5.7.1", "no")


def ready(**options):
    serving = Serving(**options)
    serving.hear(HELLO)
    return serving


def codes(said):
    """Return the code of each reply."""
    return [int(line[:3]) for line in said if line[3:4] == " "]


METHODS = [
    *("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE"),
    *("PROPFIND", "MKCOL", "get", "Post", "X-METHOD"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ["/", "/index.html", "*", "http://mx.test/", "mx.test:25", "/a b"])
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1", "http/2"])
def test_http_of_any_method_ends_the_session_with_its_first_line(method, target, version):
    request = f"{method} {target} {version}\r\nHost: mx.test\r\n\r\n".encode() + HELLO + MAIL + RCPT
    for before, pieces in itertools.product((b"", HELLO, HELLO + MAIL), ([request], octets(request))):
        serving = Serving()
        serving.hear(before)
        heard = len(serving.events)
        assert serving.hear(*pieces) == ["554 5.5.1 this is a mail server and speaks no HTTP"]
        assert [type(event) for event in serving.events[heard:]] == [Closed]
        assert serving.machine.closing


def test_a_command_that_mentions_http_is_no_request():
    assert codes(ready().hear(b"NOOP HTTP/1.1\r\nVRFY HTTP/1.1\r\n")) == [250, 252]


#: The first octets of what else finds an open port, and how the last words to it begin.
STRANGERS = {
    "TLS 1.0 record": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)), "554 5.5.1 TLS begins"),
    "TLS 1.3 record": (b"\x16\x03\x03\x00\xf5\x01\x00\x00\xf1\x03\x03" + bytes(range(32)), "554 5.5.1 TLS begins"),
    "SSL 2": (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", "500 5.5.2 NUL"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "554 5.5.1 this is a mail server and speaks no HTTP"),
    "SOCKS 4": (b"\x04\x01\x00\x19\x7f\x00\x00\x01\x00", "500 5.5.2 NUL"),
    "SOCKS 5": (b"\x05\x01\x00", "500 5.5.2 NUL"),
    "RDP": (b"\x03\x00\x00\x13\x0e\xe0\x00\x00", "500 5.5.2 NUL"),
    "SMB": (b"\x00\x00\x00\x54\xffSMB", "500 5.5.2 NUL"),
    "PROXY protocol 1": (b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\n", "554 5.5.1 the PROXY protocol"),
    "PROXY protocol 1, IPv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 25\r\n", "554 5.5.1 the PROXY protocol"),
    "PROXY protocol 1, unknown": (b"PROXY UNKNOWN\r\n", "554 5.5.1 the PROXY protocol"),
    "PROXY protocol 2": (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", "554 5.5.1 the PROXY protocol"),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", "554 5.5.1 this is a mail server and speaks SMTP only"),
    "Java": (b"\xac\xed\x00\x05sr\x00", "500 5.5.2 NUL"),
    "LDAP": (b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\x00\x80\x00", "500 5.5.2 NUL"),
    "MQTT": (b"\x10\x0c\x00\x04MQTT", "500 5.5.2 NUL"),
    "Telnet": (b"\xff\xfb\x1f\xff\xfb\x20\r\n", "554 5.5.1 this is a mail server and speaks SMTP only"),
    "a line of JSON": (b'{"method":"login"}\r\n', "554 5.5.1 this is a mail server and speaks SMTP only"),
    "SIP": (b"OPTIONS sip:nm SIP/2.0\r\n", "554 5.5.1 this is a mail server and speaks no HTTP"),
    "bare LF": (b"EHLO client.test\n", "500 5.5.2 bare LF"),
}


@pytest.mark.parametrize(("octets_of_it", "last_words"), STRANGERS.values(), ids=STRANGERS)
def test_input_that_is_not_smtp_gets_one_reply_and_ends_the_session(octets_of_it, last_words):
    for pieces in cuts(octets_of_it + b"\r\nEHLO client.test\r\n"):
        serving = Serving()
        said = [line for line in serving.hear(*pieces) if line != "500 5.5.2 unknown command"]
        assert len(said) == 1
        assert said[0].startswith(last_words)
        assert serving.machine.closing
        assert not any(isinstance(event, Hello) for event in serving.events)


def test_the_whole_signature_of_the_proxy_protocol_gets_one_reply_and_one_event():
    serving = Serving()
    assert len(serving.hear(b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12))) == 1
    assert [type(event) for event in serving.events] == [Closed]


@pytest.mark.parametrize(
    "line", [b"SSH-2.0-OpenSSH_9.6", b"USER bob", b"a1 LOGIN bob secret", b"HELO", b"", b" EHLO x"]
)
def test_words_that_are_no_commands_are_mistakes_and_too_many_of_them_the_end(line):
    serving = Serving(errors=3)
    said = serving.hear((line + b"\r\n") * 9)
    assert [each[:3] for each in said] == ["500"] * 3 + ["421"] or [each[:3] for each in said] == ["501"] * 3 + ["421"]
    assert serving.machine.closing


#: Commands that RFC 2920 section 3.1 wants last in a group, and the code of the reply to each in its place.
LAST = {
    b"EHLO again.test\r\n": 250,
    b"HELO again.test\r\n": 250,
    b"VRFY <b@example.test>\r\n": 252,
    b"EXPN list\r\n": 550,
    b"NOOP\r\n": 250,
    b"HELP\r\n": 214,
    b"TURN\r\n": 502,
    b"ETRN x.test\r\n": 458,
}


@pytest.mark.parametrize(("command", "code"), LAST.items())
def test_a_command_that_must_be_last_is_answered_in_its_turn_and_hides_no_command(command, code):
    wire = MAIL + RCPT + command + b"RSET\r\n" + MAIL + b"QUIT\r\n"
    for pieces in cuts(wire):
        serving = ready()
        assert codes(serving.hear(*pieces)) == [250, 250, code, 250, 250, 221]
        assert serving.senders == ["a@client.test"] * 2
        assert serving.messages == []


def test_input_behind_quit_is_ignored():
    for pieces in cuts(b"QUIT\r\n" + SMUGGLED):
        serving = ready()
        assert codes(serving.hear(*pieces)) == [221]
        assert serving.senders == []


@pytest.mark.parametrize("behind", [b"x", b"\r\n", b".\r\n", b"Subject: x\r\n\r\n.\r\n", SMUGGLED, b"QUIT\r\n"])
def test_input_in_one_segment_with_data_is_neither_text_nor_command(behind):
    serving = ready()
    assert codes(serving.hear(MAIL + RCPT + b"DATA\r\n" + behind)) == [250, 250, 554]
    assert serving.machine.closing
    assert serving.senders == ["a@client.test"]
    assert not any(isinstance(event, DataBegin) for event in serving.events)


def test_input_before_the_verdict_on_data_is_neither_text_nor_command():
    serving = Serving(answers={})
    serving.hear(HELLO, MAIL, RCPT)
    machine = serving.machine
    machine.receive(b"DATA\r\n")
    assert isinstance(machine.next_event(), DataBegin)
    machine.receive(SMUGGLED)
    machine.answer(canned_replies.SEND_DATA)
    assert machine.to_send() == canned_replies.INPUT_BEHIND_DATA.wire
    assert isinstance(machine.next_event(), Closed)


TEXTS = [
    b"Received: from x\r\n" + SMUGGLED,
    b"Subject: hello\r\n\r\n" + SMUGGLED,
    b"\r\n" + SMUGGLED,
    b"--boundary\r\n" + SMUGGLED,
    b".\r\n" + SMUGGLED,
    b"Dear Bob,\r\n" + SMUGGLED,
    "Grüße\r\n".encode() + SMUGGLED,
]
#: Why DATA was refused: what stands before it, and what is answered to which event.
REFUSALS = {
    "no recipient was accepted": (MAIL + RCPT, {RcptTo: NO}),
    "no sender was accepted": (MAIL, {MailFrom: NO}),
    "nothing was begun": (b"", {}),
    "by the driver": (MAIL + RCPT, {DataBegin: reply(451, "4.3.0", "later")}),
}


@pytest.mark.parametrize(("before", "answers"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_message_that_comes_though_data_was_refused_is_not_executed(before, answers, text):
    for pieces in ([text], octets(text)):
        serving = ready(answers=answers)
        assert codes(serving.hear(before, b"DATA\r\n"))[-1] >= 451
        assert codes(serving.hear(*pieces)) == [554]
        assert serving.machine.closing
        assert "x@evil.test" not in serving.senders


def test_a_client_that_waits_may_go_on_after_data_was_refused():
    serving = ready(answers={RcptTo: NO})
    assert codes(serving.hear(MAIL + RCPT + b"DATA\r\n")) == [250, 550, 554]
    assert codes(serving.hear(b"NOOP\r\nRSET\r\n" + MAIL + b"X\r\n")) == [250, 250, 250, 500]
    assert not serving.machine.closing


@pytest.mark.parametrize(
    ("before", "answers"),
    [(MAIL + RCPT, {RcptTo: NO}), (MAIL, {MailFrom: NO}), (MAIL + RCPT, {DataBegin: NO}), (b"", {})],
)
@pytest.mark.parametrize("last", [b"", b" LAST"])
def test_a_refused_chunk_is_never_read_as_commands(before, answers, last):
    wire = b"BDAT %d%b\r\n" % (len(SMUGGLED), last) + SMUGGLED + b"NOOP\r\n"
    for pieces in cuts(wire):
        serving = ready(answers=answers)
        serving.hear(before)
        said = codes(serving.hear(*pieces))
        assert said[0] >= 500
        assert said[1:] == [250]
        assert "x@evil.test" not in serving.senders


def test_input_behind_the_last_chunk_is_a_command_and_input_in_it_never():
    wire = b"BDAT %d LAST\r\n" % len(SMUGGLED) + SMUGGLED + b"NOOP\r\n"
    for pieces in cuts(wire):
        serving = ready()
        serving.hear(MAIL + RCPT)
        assert codes(serving.hear(*pieces)) == [250, 250]
        assert serving.messages == [SMUGGLED]
        assert serving.senders == ["a@client.test"]


@pytest.mark.parametrize(
    "size", [b"99999999999999999999", b"-1", b"+5", b"0x5", b"5 5", b"5,", b"5\tLASTLY", b"\xd9\xa5"]
)
def test_a_chunk_of_unknown_length_ends_the_session(size):
    serving = ready()
    assert codes(serving.hear(MAIL + RCPT + b"BDAT " + size + b"\r\n" + SMUGGLED)) == [250, 250, 501]
    assert serving.machine.closing
    assert serving.senders == ["a@client.test"]


ODD = [bytes([octet]) for octet in (*range(1, 9), 11, 12, *range(14, 32), 127, 128, 133, 160, 255)]


@pytest.mark.parametrize("octet", ODD)
@pytest.mark.parametrize("asked", [b"", b" SMTPUTF8"])
def test_a_control_or_a_lone_octet_in_an_argument_is_refused_and_the_session_goes_on(octet, asked):
    serving = ready()
    wire = b"MAIL FROM:<a" + octet + b"b@client.test>" + asked + b"\r\n"
    for pieces in ([wire], octets(wire)):
        said = serving.hear(*pieces)
        assert codes(said)[0] in (501, 553)
        assert "".join(said).isprintable()
        assert "".join(said).isascii()
    assert codes(serving.hear(b"EHLO a" + octet + b"\r\n")) == [501]
    assert codes(serving.hear(MAIL)) == [250]


@pytest.mark.parametrize("letters", ["ü", "用户", "a\u0301"])
def test_other_letters_are_accepted_only_after_smtputf8(letters):
    serving = ready()
    mail = f"MAIL FROM:<{letters}@client.test>"
    assert codes(serving.hear(mail.encode() + b"\r\n")) == [553]
    assert serving.hear(mail.encode() + b" X" + letters.encode() + b"\r\n")[0].isascii()
    assert codes(serving.hear(mail.encode() + b" SMTPUTF8\r\n")) == [250]
    assert serving.senders == [f"{letters}@client.test"]


@pytest.mark.parametrize("length", [2049, 5000, 1_000_000])
def test_an_overlong_command_gets_one_reply_and_is_kept_nowhere(length):
    wire = b"RCPT TO:<" + b"x" * (length - 11) + b"\r\n"
    for step in (len(wire), 1460, 97):
        serving = ready()
        assert codes(serving.hear(MAIL)) == [250]
        said = []
        for at in range(0, len(wire), step):
            said += serving.hear(wire[at : at + step])
            assert serving.machine.buffered <= 2048
        assert said == ["500 5.5.2 command line longer than 2048 octets"]
        assert codes(serving.hear(RCPT + b"DATA\r\n")) == [250, 354]


def test_the_end_of_an_overlong_first_command_is_answered_at_once():
    serving = Serving()
    assert serving.hear(b"x" * 5000, b"\r\n") == ["500 5.5.2 command line longer than 2048 octets"]


@pytest.mark.parametrize("length", [999, 1000, 100_000, 1_000_000])
@pytest.mark.parametrize("place", [b"%b\r\n", b"Subject: %b\r\n\r\nbody\r\n", b"Subject: x\r\n\r\n%b\r\n", b".%b\r\n"])
def test_an_overlong_line_of_text_is_refused_at_the_end_of_the_message(length, place):
    wire = place % (b"x" * length) + b".\r\n"
    for step in (len(wire), 1460):
        serving = ready()
        serving.hear(MAIL + RCPT + b"DATA\r\n")
        said = serving.hear(*(wire[at : at + step] for at in range(0, len(wire), step)))
        assert [line[:9] for line in said] == ["550 5.6.0"]
        assert "maximum allowed line length is 998 octets" in said[0]
        assert serving.machine.buffered == 0
        assert codes(serving.hear(MAIL)) == [250]
        assert BodyEnd not in map(type, serving.events)


def test_starttls_with_an_argument_or_out_of_place_does_not_begin_tls():
    serving = ready(starttls=True)
    assert codes(serving.hear(b"STARTTLS now\r\n" + MAIL + b"STARTTLS\r\n")) == [501, 250, 503]
    assert not any(isinstance(event, StartTls) for event in serving.events)
