"""A8 to A19: a client at the relay's port."""

import socket
import ssl
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from harness.waiting import until
from tests.acceptance.stage import RESERVED, STRANGER, arrived, replies, smarthost, verdicts
from tests.endtoend.mails import mail

MEBIBYTE = 1024 * 1024


def test_a8_ehlo_lists_the_extensions_of_exim_and_neither_auth_nor_starttls(base):
    with base.client() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "52428800"
        assert {"8bitmime", "pipelining"} <= client.esmtp_features.keys()
        assert not {"auth", "starttls"} & client.esmtp_features.keys()


def test_a9_with_a_certificate_mail_comes_in_over_tls_and_opens_no_doors(stage):
    certificate, key = stage.certificate("relay.example.test", ips=["127.0.0.1"])
    sink = stage.sink()
    relay = stage.relay(CERTIFICATE_PATH=certificate, KEY_PATH=key, **smarthost(sink))
    trusting = ssl.create_default_context(cafile=stage.authority_file)
    with relay.client() as client:
        client.ehlo()
        assert "starttls" in client.esmtp_features
        assert client.starttls(context=trusting)[0] == 220
        client.ehlo()
        assert "starttls" not in client.esmtp_features
        client.sendmail("sender@sender.test", ["over-tls@any.test"], mail())
    assert "TLS" in (arrived(sink, "over-tls@any.test").header("Received") or "")
    with relay.client(STRANGER) as client:
        client.starttls(context=trusting)
        assert verdicts(client, "x@any.test") == [550]


def test_a11_mail_of_a_stranger_wants_ehlo_first_and_that_of_our_own_networks_does_not(base):
    for source, code in (("127.0.0.2", 503), ("127.0.0.1", 250)):
        with base.client(source) as client:
            assert client.docmd("MAIL FROM:<a@sender.test>")[0] == code


def test_a11_a_size_over_the_limit_is_refused_before_the_message_comes(base):
    with base.client() as client:
        client.ehlo()
        assert client.docmd("MAIL FROM:<a@sender.test> SIZE=60000000")[0] == 552


def test_a11_a_message_over_the_limit_is_refused_when_it_has_come(base):
    with base.client() as client:
        client.ehlo()
        assert verdicts(client, "x@any.test") == [250]
        assert client.docmd("DATA")[0] == 354
        piece = (b"x" * 70 + b"\r\n") * (MEBIBYTE // 72 + 1)
        client.send(mail())
        for _ in range(51):
            client.send(piece)
        client.send(b".\r\n")
        assert client.getreply()[0] == 552
        assert client.noop()[0] == 250


def test_a12_a_line_may_have_998_octets_and_no_more(through):
    with through.relay.client() as client:
        client.ehlo()
        assert verdicts(client, "line@any.test") == [250]
        assert client.data(mail(body=b"x" * 998 + b"\r\n"))[0] == 250
        for length in (999, 1200):
            assert verdicts(client, "line@any.test") == [250]
            assert client.data(mail(body=b"short\r\n" + b"x" * length + b"\r\n"))[0] == 550
    assert b"x" * 998 in arrived(through.sink, "line@any.test").content


@pytest.mark.parametrize(
    "field", [b'From: "Alice <a@b.test', b"To: undisclosed-recipients:;"], ids=["unclosed quote", "empty group"]
)
def test_a13_header_syntax_is_not_judged(through, field):
    content = field + b"\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <13@b.test>\r\n"
    content += b"" if field.startswith(b"From") else b"From: a@b.test\r\n"
    content += b"\r\nHello\r\n"
    through.relay.submit(content, "syntax@any.test")
    assert arrived(through.sink, "syntax@any.test").without_trace == content


def test_a15_after_ten_refused_recipients_all_are_refused(base):
    with base.client(STRANGER) as client:
        answers = replies(client, *(f"x{number}@any.test" for number in range(13)))
    assert [code for code, _ in answers] == [550] * 13
    assert ["too many bad recipients" in words.decode().lower() for _, words in answers] == [False] * 10 + [True] * 3


def test_a16_a_recipient_is_a_mailbox_at_a_domain_or_bare_postmaster(base):
    with base.client(STRANGER) as client:
        assert verdicts(client, "user@[127.0.0.1]", "bob", "postmaster") == [501, 501, 250]


def test_a16_our_own_may_leave_the_domain_out_and_no_literal_leads_to_a_private_address(base):
    with base.client() as client:
        assert verdicts(client, "user@[127.0.0.1]", "bob", "postmaster") == [550, 250, 250]


def test_a17_a_name_with_an_underscore_may_greet(base):
    with base.client() as client:
        assert client.ehlo("my_container")[0] == 250
        assert verdicts(client, "x@any.test") == [250]


def listening(pid):
    """Return the addresses and ports, in the kernel's spelling, that a process listens on."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            sockets.add(str(link.readlink()))
    tables = "".join(Path(f"/proc/{pid}/net/{table}").read_text() for table in ("tcp", "tcp6"))
    rows = [line.split() for line in tables.splitlines()]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def kernels(address, port):
    """Return an address and port in the kernel's spelling: in words of 32 bits, each in the machine's order."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    words = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)]
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def test_a19_it_listens_on_its_port_and_address_and_nowhere_else(stage):
    relay = stage.stopped_relay(PORT="2526", BIND_IP=RESERVED, DISABLE_IPV6="0")
    relay.child.start()
    until(lambda: relay.events("started"), what="the relay's start")
    assert listening(relay.child.pid) == {kernels(RESERVED, 2526)}


def test_a19_it_listens_on_ipv6_unless_that_is_disabled(stage):
    relay = stage.relay(DISABLE_IPV6="", BIND_IP6="::1")
    assert listening(relay.child.pid) == {kernels("127.0.0.1", relay.port), kernels("::1", relay.port)}
