"""Hosts that deviate from the protocol as real ones do: each message goes out once, with the outcome meant."""

import ssl
from contextlib import ExitStack

import pytest

from harness.certificates import authority
from harness.sink import EXTENSIONS
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received
from tests.programs.hostile_servers import Hostile

PLAIN = tuple(word for word in EXTENSIONS if word != "SMTPUTF8")


class Odd:
    """A server without extensions: `final` answers each message, `end` ends each of its lines."""

    def __init__(self, final: bytes, end: bytes = b"\r\n") -> None:
        self._final = final
        self._end = end
        self.messages = 0

    def __call__(self, connection):
        """Serve one connection."""
        lines = connection.makefile("rb")
        connection.sendall(b"220 odd" + self._end)
        for line in lines:
            if line.upper().startswith(b"DATA"):
                connection.sendall(b"354 go" + self._end)
                while lines.readline() != b".\r\n":
                    pass
                self.messages += 1
                connection.sendall(self._final + self._end)
            else:
                connection.sendall(b"250 ok" + self._end)


def test_a_reply_is_read_by_its_meaning_and_no_body_is_sent_twice(world):
    hosts = {
        "lf": (Odd(b"250 taken", b"\n"), "delivered", "250 taken"),
        "crcrlf": (Odd(b"250 taken", b"\r\r\n"), "delivered", "250 taken"),
        "noise": (Odd(b"Scanning\r\n\r\n250 taken"), "delivered", "250 taken"),
        "foreign": (Odd(b"550-no\r\nfor policy reasons\r\n550 bye"), "failed", "550 no for policy reasons bye"),
        "long": (Odd(b"550 " + b"x" * 3000), "failed", "550 " + "x" * 2000 + "..."),
    }
    sink = world.sink()
    with ExitStack() as stack:
        for number, (name, (behave, _, _)) in enumerate(hosts.items()):
            address = f"127.0.0.{70 + number}"
            world.dns.mail_host(f"{name}.test", address)
            stack.enter_context(Hostile(address, sink.port, behave))
        relay = world.relay(sink)
        for name in hosts:
            relay.submit(mail(name), f"someone@{name}.test")
        outcomes = {
            event["to"]: event
            for kind, n in (("delivered", 3), ("failed", 2))
            for event in relay.wait_for_events(kind, n)
        }
        for name, (behave, kind, reply) in hosts.items():
            event = outcomes[f"<someone@{name}.test>"]
            assert (event["event"], event["reply"]) == (kind, reply)
            assert behave.messages == 1
        assert relay.events("deferred") == []


def test_a_message_of_ascii_goes_to_a_host_without_smtputf8_though_its_client_said_it(world):
    sink = world.sink(extensions=PLAIN)
    relay = world.relay(sink)
    with relay.client() as client:
        client.sendmail("a@sender.test", [TO], mail("ascii"), mail_options=["SMTPUTF8"])
        client.sendmail("a@sender.test", [TO], mail("utf8").replace(b"Sender", "Sönder".encode()), ["SMTPUTF8"])
    # The report about the other one may have come already.
    (message,) = [each for each in received(sink) if each.sender]
    assert "SMTPUTF8" not in message.mail_parameters
    (failed,) = relay.wait_for_events("failed", 1)
    assert failed["status"] == "5.6.7"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_mail_in_clear_tells_why_and_one_notice_a_day_names_the_host(world):
    certificate, key = authority().leaf(["mx.example.test"]).write(world.home)
    sink = world.sink(tls=(str(certificate), str(key)))
    sink.context.set_ciphers("ALL:@SECLEVEL=0")
    sink.context.minimum_version = sink.context.maximum_version = ssl.TLSVersion.TLSv1
    relay = world.relay(sink)
    for number in range(2):
        relay.submit(mail(str(number)), TO)
        received(sink, number + 1)
    assert [event["tls"] for event in relay.wait_for_events("delivered", 2)] == [
        "none(the host has no TLS 1.2 or newer)"
    ] * 2
    notices = [event["text"] for event in relay.events("notice") if "in clear" in event["text"]]
    assert len(notices) == 1
    assert "mail goes to mx.example.test[127.0.0.1]:" in notices[0]


def test_a_host_that_cannot_be_reached_is_told_with_its_cause(world):
    world.dns.mail_host("refused.test", "127.0.0.9")
    relay = world.relay(world.sink())
    relay.submit(mail(), "someone@refused.test")
    (event, *_) = relay.wait_for_events("deferred")
    assert event["reply"] == "connection refused"
    assert event["host"].startswith("mx.refused.test[127.0.0.9]:")
