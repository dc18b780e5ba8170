"""The sink is the judge of the end-to-end tests, so it is tried with clients that are neither it nor the relay."""

import smtplib
import socket
import ssl
import subprocess

import pytest

from harness.certificates import authority
from harness.processes import find_program
from harness.sink import Sink
from harness.sink_rules import Rule

MESSAGE = b"Subject: dots\r\n\r\n.\r\n..two\r\nend\r\n"


def test_it_records_the_message_of_smtplib_octet_for_octet():
    with Sink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail("a@example.test", ["b@example.test", "c@example.test"], MESSAGE)
    (message,) = sink.messages
    assert message.content == MESSAGE
    assert (message.sender, message.recipients) == ("a@example.test", ("b@example.test", "c@example.test"))
    assert sink.faults == []


def swaks_lacks() -> str | None:
    """Return why swaks cannot speak TLS here, or None if it can."""
    if find_program("swaks") is None:
        return "swaks is not installed"
    module = subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False)
    return "swaks lacks Net::SSLeay: install libnet-ssleay-perl" if module.returncode else None


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_it_records_exact_credentials_over_tls(mechanism, tmp_path):
    root = authority()
    files = tuple(map(str, root.leaf(["localhost"]).write(tmp_path)))
    trust = ssl.create_default_context(cadata=root.certificate_pem.decode())
    with Sink(tls=files, users={"me": "s ecret"}, mechanisms=(mechanism,)) as sink:
        with smtplib.SMTP("localhost", sink.port) as client:
            client.starttls(context=trust)
            client.login("me", "s ecret")
            client.sendmail("a@example.test", ["b@example.test"], MESSAGE)
        with smtplib.SMTP("localhost", sink.port) as client, pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("me", "wrong")
    assert next((one.mechanism, one.accepted, one.tls) for one in sink.logins) == (mechanism, True, True)
    assert sink.logins[-1].accepted is False
    assert sink.messages[0].user == "me"


def test_its_rules_decide_in_order_and_run_out():
    rules = [Rule("RCPT", "550 5.1.1 nobody", match="nobody@"), Rule("RCPT", "450 4.7.1 greylisted", times=1)]
    with Sink(rules) as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@example.test", ["b@example.test"], MESSAGE)
        refused = client.sendmail("a@example.test", ["b@example.test", "nobody@example.test"], MESSAGE)
    assert list(refused) == ["nobody@example.test"]
    assert len(sink.messages) == 1


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"a\nb\r\n.\r\n", "bare"),
        (b"\r.\r\n.\r\n", "bare"),
        (b".x\r\n.\r\n", "dot"),
        (b"x" * 999 + b"\r\n.\r\n", "998"),
    ],
)
def test_it_notices_octets_that_must_never_be_sent(data, fault):
    with Sink() as sink, socket.create_connection(("127.0.0.1", sink.port)) as wire:
        wire.sendall(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n" + data + b"QUIT\r\n")
        while wire.recv(65536):
            pass
    assert len(sink.faults) == 1
    assert fault in sink.faults[0]


@pytest.mark.skipif(swaks_lacks() is not None, reason=str(swaks_lacks()))
def test_swaks_sends_to_it_over_implicit_tls(tmp_path):
    files = tuple(map(str, authority().leaf(["localhost"]).write(tmp_path)))
    with Sink(tls=files, implicit=True) as sink:
        command = ["swaks", "--server", f"127.0.0.1:{sink.port}", "--tlsc", "--to", "b@example.test", "--silent", "2"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    assert sink.messages[0].tls
