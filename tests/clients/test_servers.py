"""Mail servers as clients: a hundred messages through each, in clear and under TLS, and each arrives exactly once."""

import smtplib
from collections import Counter

import pytest

from harness import postfix
from harness.certificates import authority
from harness.debian_packages import NoPackageError
from harness.waiting import PATIENCE, until
from tests.clients.servers import Exim, OpenSmtpd, Postfix, Sendmail
from tests.endtoend.mails import mail
from tests.endtoend.world import TO

COUNT = 100
SERVERS = [
    Exim,
    OpenSmtpd,
    pytest.param(Postfix, marks=pytest.mark.skipif(postfix.why_not() is not None, reason=str(postfix.why_not()))),
    Sendmail,
]


def certificate(folder):
    """Return the settings of a relay that offers STARTTLS."""
    chain, key = authority().leaf(["relay.example.test"]).write(folder)
    return {"CERTIFICATE_PATH": str(chain), "KEY_PATH": str(key)}


def tokens(sink):
    """Return how often each message arrived, by the token in its Message-ID."""
    return Counter(message.header("Message-ID")[1:].partition("@")[0] for message in list(sink.messages))


def came_under_tls(message):
    """Whether the relay's Received field, which is at the top, says that the message arrived under TLS."""
    return b" with ESMTPS " in message.content.partition(b"\r\nReceived:")[0].replace(b"\r\n\t", b" ")


@pytest.mark.long
@pytest.mark.parametrize("tls", [False, True], ids=["in clear", "under TLS"])
@pytest.mark.parametrize("server", SERVERS)
def test_each_message_that_a_mail_server_relays_through_the_daemon_arrives_once(world, tmp_path, server, tls):
    sink = world.sink()
    relay = world.relay(sink, **(certificate(tmp_path) if tls else {}))
    try:
        with server(relay.port) as client:
            with smtplib.SMTP("127.0.0.1", client.port, "application.test", timeout=PATIENCE) as application:
                for number in range(COUNT):
                    application.sendmail("sender@sender.test", [TO], mail(f"{number}"))
            # A server that does not receive the relay's reply keeps the message and sends it again.
            until(lambda: not client.waiting() or len(sink.messages) > COUNT, what=f"an empty queue of {client}")
            relay.wait_until_empty()
    except NoPackageError as error:
        pytest.skip(str(error))
    assert sink.faults == []
    assert tokens(sink) == {f"{number}": 1 for number in range(COUNT)}
    assert {came_under_tls(message) for message in sink.messages} == {tls}
