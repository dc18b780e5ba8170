"""`smtprelay test-mail` through a real relay."""

from collections.abc import Iterator

import pytest

from harness.daemon import Daemon
from harness.processes import free_port
from harness.sink import Sink
from harness.sink_rules import Rule

TO = "bob@there.test"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as opened:
        yield opened


@pytest.fixture
def relay(sink, dns, tmp_path) -> Iterator[Daemon]:
    dns.mail_host("there.test")
    settings = {"DNS_SERVERS": dns.setting, "SMTPPORTOUT": str(sink.port), "PRIVATE_DESTINATIONS": "allow"}
    with Daemon(tmp_path / "home", **settings) as daemon:
        yield daemon


def test_a_delivered_message_is_followed_to_its_end(relay, sink):
    done = relay.tool("test-mail", TO)
    assert done.returncode == 0, done.stdout + done.stderr
    first, last = done.stdout.splitlines()
    assert first.endswith(f"accepted from postmaster@relay.example.test for {TO}")
    assert f"<{TO}> delivered by mx.there.test[127.0.0.1]:{sink.port}: 250" in last
    (message,) = sink.messages
    assert b"Subject: Test of the mail relay relay.example.test" in message.content


def test_a_refused_message_is_a_failure_with_the_reply(relay, sink):
    sink.rules.append(Rule("RCPT", "550 5.1.1 no such user"))
    done = relay.tool("test-mail", TO, "--from", "ann@sender.test")
    assert done.returncode == 1
    assert "failed by mx.there.test" in done.stdout
    assert "550 5.1.1 no such user" in done.stdout


def test_a_message_that_waits_tells_the_reply_and_the_next_attempt(relay, sink):
    sink.rules.append(Rule("RCPT", "451 4.7.1 greylisted"))
    done = relay.tool("test-mail", TO, "--wait", "2")
    assert done.returncode == 2
    assert "deferred by mx.there.test" in done.stdout
    assert "451 4.7.1 greylisted" in done.stdout
    assert "next attempt at" in done.stdout.splitlines()[-1]


def test_a_recipient_whom_the_relay_refuses_is_told_at_once(relay):
    done = relay.tool("test-mail", "bob@127.0.0.1.")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_without_a_relay_there_is_one_line(tmp_path):
    done = Daemon(tmp_path / "home", PORT=str(free_port())).tool("test-mail", TO)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be reached" in done.stderr
