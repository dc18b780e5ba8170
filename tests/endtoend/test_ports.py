"""The submission ports of the real daemon beside PORT: bound by one start, served by all workers."""

import smtplib
import socket
import ssl

import pytest

from harness.certificates import authority
from harness.daemon import Daemon
from harness.processes import free_port
from harness.waiting import PATIENCE
from tests.endtoend.mails import mail

NAME = "relay.example.test"
ROOT = authority()
TRUSTING = ssl.create_default_context(cadata=ROOT.certificate_pem.decode())


def settings(folder):
    """Return the settings of a relay with both submission ports."""
    certificate, key = ROOT.leaf([NAME], ["127.0.0.1"]).write(folder)
    return {
        "CERTIFICATE_PATH": str(certificate),
        "KEY_PATH": str(key),
        "SUBMISSION_PORT": str(free_port()),
        "SUBMISSION_TLS_PORT": str(free_port()),
        "AUTH_USERS": "app:{PLAIN}correct-horse-battery",
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_port_greets_by_its_rule(tmp_path, workers):
    given = settings(tmp_path)
    ports = [int(given[name]) for name in ("SUBMISSION_PORT", "SUBMISSION_TLS_PORT")]
    with Daemon(tmp_path / "relay", WORKERS=workers, **given) as relay:
        assert [event["port"] for event in relay.wait_for_events("listening", 3)] == [relay.port, *ports]
        # Several connections, so that each worker has one.
        for _ in range(3):
            with smtplib.SMTP("127.0.0.1", ports[0], timeout=PATIENCE) as client:
                assert client.starttls(context=TRUSTING)[0] == 220
            with smtplib.SMTP_SSL("127.0.0.1", ports[1], timeout=PATIENCE, context=TRUSTING) as client:
                assert client.ehlo()[0] == 250
                assert not client.has_extn("starttls")
            with relay.client() as client:
                assert client.ehlo()[0] == 250


@pytest.mark.parametrize("name", ["SUBMISSION_PORT", "SUBMISSION_TLS_PORT"])
def test_a_submission_port_that_is_taken_is_named_with_its_setting(tmp_path, name):
    given = settings(tmp_path)
    with socket.create_server(("127.0.0.1", int(given[name]))):
        words = Daemon(tmp_path / "relay", **given).start_and_fail(1)
    assert f"cannot listen on 127.0.0.1 port {given[name]}: another program listens there" in words
    assert f"choose another {name}" in words


@pytest.mark.parametrize("name", ["SUBMISSION_PORT", "SUBMISSION_TLS_PORT"])
def test_the_relay_recognises_itself_on_each_port(world, tmp_path, name):
    given = settings(tmp_path)
    world.dns.mail_host("example.test")
    relay = world.relay(world.sink(), **{**given, "SMTPPORTOUT": given[name]})
    relay.submit(mail(), "someone@example.test", sender="")
    (event,) = relay.wait_for_events("failed")
    assert "loops back to this host" in event["reply"]
