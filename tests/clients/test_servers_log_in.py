"""Mail servers that log in at a port of submission, as a smarthost's clients do: their messages are the user's."""

import smtplib

import pytest

from harness import postfix
from harness.debian_packages import NoPackageError
from harness.waiting import PATIENCE, until
from tests.clients.servers import Exim, OpenSmtpd, Postfix, RelayLogin
from tests.endtoend.mails import mail
from tests.endtoend.submission import ROOT, in_clear_users, submission
from tests.endtoend.test_scram import PASSWORD, USER, users
from tests.endtoend.world import TO, received

COUNT = 5
needs_postfix = pytest.mark.skipif(postfix.why_not() is not None, reason=str(postfix.why_not()))
PLAIN = in_clear_users({USER: PASSWORD})


@pytest.mark.long
@pytest.mark.parametrize(
    ("server", "lines", "mechanism"),
    [
        (Exim, PLAIN, "PLAIN"),
        (OpenSmtpd, PLAIN, "PLAIN"),
        pytest.param(Postfix, PLAIN, "PLAIN", marks=needs_postfix),
        pytest.param(Postfix, users(), "SCRAM-SHA-256", marks=needs_postfix),
    ],
    ids=["Exim", "OpenSMTPD", "Postfix", "Postfix by SCRAM"],
)
def test_a_mail_server_logs_in(world, server, lines, mechanism):
    world.secret(PASSWORD)
    sink = world.sink()
    site = submission(world, sink, lines)
    try:
        with server(site.starttls.port, RelayLogin(USER, PASSWORD, ROOT.certificate_pem.decode())) as client:
            with smtplib.SMTP("127.0.0.1", client.port, "application.test", timeout=PATIENCE) as application:
                for number in range(COUNT):
                    application.sendmail("sender@sender.test", [TO], mail(f"{number}"))
            until(lambda: not client.waiting(), what=f"an empty queue of {client}")
    except NoPackageError as error:
        pytest.skip(str(error))
    messages = received(sink, COUNT)
    assert all(" with ESMTPSA " in message.header("Received") for message in messages)
    assert {event["user"] for event in site.relay.wait_for_events("accepted", COUNT)} == {USER}
    assert {event["mechanism"] for event in site.relay.events("login")} == {mechanism}
    assert site.relay.events("login-failed") == []
