"""Trouble while the relay runs: it logs the cause, keeps the mail, and goes on."""

import json
import os
import resource
import smtplib
import sqlite3
import subprocess

import pytest

from harness.certificates import authority
from harness.processes import free_port, greets
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received
from tests.length import choose
from tests.programs.small_disk import NoDiskError, fill, small_disk

BIG = mail("big", (b"x" * 70 + b"\r\n") * 42_000)


def test_a_full_disk_causes_a_452_alone(world):
    sink = world.sink()
    relay = world.stopped_relay(sink)
    try:
        with small_disk(relay.queue_dir, "32M"):
            relay.start()
            with relay.client() as client:
                assert_full_disk_is_survived(relay, client)
            received(sink, 2)
            relay.wait_until_empty()
            relay.stop()
    except NoDiskError as error:
        pytest.skip(str(error))
    assert [message.without_trace for message in sink.messages] == [mail("before"), BIG]


def assert_full_disk_is_survived(relay, client):
    client.sendmail("a@sender.test", [TO], mail("before"))
    relay.wait_until_empty()
    files = {path for path in relay.queue_dir.rglob("*") if path.is_file()}
    filler = fill(relay.queue_dir, 1_000_000)
    for _ in range(3):
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            client.sendmail("a@sender.test", [TO], BIG)
        assert refusal.value.smtp_code == 452
        assert client.noop()[0] == 250
    assert relay.queue() == []
    filler.unlink()
    assert {path for path in relay.queue_dir.rglob("*") if path.is_file()} <= files
    client.sendmail("a@sender.test", [TO], BIG)


FINISHED = """
WITH RECURSIVE number (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < ?)
INSERT INTO message (id, created, size, in_file, client, helo, protocol, body_type, smtputf8, token, leased, finished)
SELECT value * 4096, 1790000000 + value, 900, 0, '192.0.2.1', 'app.example.test', 'ESMTP', '7BIT', 0, 1, 0,
       unixepoch() - 3600 + value / 100.0
FROM number;
INSERT INTO recipient (message_id, idx, local, domain, status, attempts, reply, host, finished)
SELECT id, 0, 'someone', 'example.test', 'delivered', 1, '250 2.0.0 Ok: queued as 4F2aQx1kq2z9Rr9',
       'mx.example.test[192.0.2.1]:25', finished FROM message;
UPDATE ledger SET accepted = (SELECT count(*) FROM message), delivered = (SELECT count(*) FROM message);
"""


def with_history(relay, number):
    """Give a relay that has run a history of so many messages delivered within the last hour."""
    connection = sqlite3.connect(relay.queue_dir / "queue.sqlite")
    first, *rest = FINISHED.strip().split(";\n")
    connection.execute(first, (number,))
    for statement in rest:
        connection.execute(statement.rstrip(";\n"))
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def test_a_history_that_fills_a_small_disk_makes_room_for_mail(world):
    sink = world.sink()
    relay = world.stopped_relay(sink)
    try:
        with small_disk(relay.queue_dir, "33M"):
            with relay:
                pass
            with_history(relay, 28_611)
            filler = fill(relay.queue_dir, 9_000_000)
            with relay:
                until(lambda: accepts_mail(relay), what="a 250 on the small disk")
                for number in range(50):
                    relay.submit(mail(f"{number}"), TO)
                received(sink, 51)
                lines = [each["text"] for each in relay.events("notice")]
                assert sum(line.startswith("the history makes room for mail: its ") for line in lines) == 1
                assert relay.tool("health").returncode == 0
                assert json.loads(relay.tool("queue", "summary", "--json").stdout)["ledger"]["missing"] == 0
            filler.unlink()
    except NoDiskError as error:
        pytest.skip(str(error))


def accepts_mail(relay):
    """Send a message; return whether it was taken."""
    try:
        relay.submit(mail("first"), TO)
    except smtplib.SMTPDataError as error:
        return error.smtp_code != 452
    return True


def test_a_disk_with_no_free_octet_is_told_of_and_so_is_the_end_of_it(world):
    sink = world.sink()
    relay = world.stopped_relay(sink)
    try:
        with small_disk(relay.queue_dir, "33M"):
            relay.start()
            filler = fill(relay.queue_dir, 0)
            (event,) = relay.wait_for_events("trouble")
            assert event["text"].startswith("mail is answered 452: only 0 MiB free on the queue's disk")
            assert not accepts_mail(relay)
            done = relay.tool("health")
            assert (done.returncode, "only 0 MiB free on the queue's disk" in done.stderr) == (1, True)
            filler.unlink()
            until(lambda: any("room for mail again" in each["text"] for each in relay.events("notice")))
            assert accepts_mail(relay)
            assert relay.tool("health").returncode == 0
            relay.stop()
    except NoDiskError as error:
        pytest.skip(str(error))


def test_a_body_that_cannot_be_written_causes_a_452_alone(world):
    sink = world.sink()
    relay = world.relay(sink)
    with relay.client() as client:
        _, most = resource.prlimit(relay.child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(relay.child.pid, resource.RLIMIT_FSIZE, (1_000_000, most))
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            client.sendmail("a@sender.test", [TO], BIG)
        assert refusal.value.smtp_code == 452
        assert client.noop()[0] == 250
        assert relay.queue() == []
        resource.prlimit(relay.child.pid, resource.RLIMIT_FSIZE, (most, most))
        client.sendmail("a@sender.test", [TO], BIG)
    (message,) = received(sink)
    assert message.without_trace == BIG
    relay.wait_until_empty()
    until(lambda: not list((relay.queue_dir / "bodies").iterdir()), what="the body's file to go")


def test_a_disk_filled_by_small_messages_causes_a_452_and_keeps_accepted_mail(world):
    sink = world.sink(Rule("RCPT", "451 4.3.0 come back"))
    relay = world.stopped_relay(sink, RETRY_SCHEDULE="F,1h,1s")
    try:
        with small_disk(relay.queue_dir, "24M"):
            relay.start()
            filler = fill(relay.queue_dir, 4_000_000)
            accepted = fill_with_mail(relay)
            filler.unlink()
            sink.rules.clear()
            received(sink, accepted)
            relay.wait_until_empty()
            relay.stop()
    except NoDiskError as error:
        pytest.skip(str(error))
    assert len(sink.messages) == accepted


def fill_with_mail(relay):
    """Send until the disk is full and return how many messages were accepted."""
    content = mail("small", (b"x" * 70 + b"\r\n") * 1000)
    with relay.client() as client:
        client.ehlo()
        for number in range(200):
            client.mail("a@sender.test")
            client.rcpt(TO)
            code, _ = client.data(content)
            if code != 250:
                assert code == 452
                assert client.noop()[0] == 250
                return number
    raise AssertionError("the disk never filled")


def test_mail_stays_queued_while_the_resolver_is_down_and_the_log_says_so(world):
    dead = f"127.0.0.1:{free_port()}"
    relay = world.relay(world.sink(), DNS_SERVERS=dead)
    relay.submit(mail(), TO)
    (event, *_) = relay.wait_for_events("deferred")
    assert "looking up the MX of example.test failed: no reply (connection refused)" in event["reply"]
    assert dead in event["reply"]
    relay.wait_for_messages(1)


def test_mail_stays_queued_while_a_zone_fails_and_goes_when_it_heals(world):
    world.dns.add({"example.test": {"FAIL": "SERVFAIL"}})
    sink = world.sink()
    relay = world.relay(sink)
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    world.dns.mail_host("example.test")
    received(sink)


@pytest.mark.parametrize("trouble", ["password", "certificate", "no starttls"])
def test_a_smarthost_that_cannot_be_logged_in_to_keeps_mail_queued_with_one_clear_line(world, trouble):
    root = authority()
    files = tuple(map(str, root.leaf(["smart.example.test"]).write(world.home)))
    world.dns.add({"smart.example.test": {"A": ["127.0.0.5"]}})
    smarthost = world.sink(
        address="127.0.0.5",
        tls=None if trouble == "no starttls" else files,
        users={"me": "something else"},
    )
    trust = authority() if trouble == "certificate" else root
    relay = world.relay(
        smarthost,
        RETRY_SCHEDULE="F,1h,30m",
        SMARTHOST_ADDRESS="smart.example.test",
        SMARTHOST_PORT=str(smarthost.port),
        SMARTHOST_USER="me",
        SMARTHOST_PASSWORD="s3cret",
        SSL_CERT_FILE=str(trust.write(world.home)),
    )
    relay.submit(mail(), TO)
    (event,) = relay.wait_for_events("deferred")
    expected = {"password": "535", "certificate": "certificate", "no starttls": "STARTTLS"}[trouble]
    lines = [line for line in relay.child.text.splitlines() if expected in line and "SMARTHOST_" in line]
    assert len(lines) >= 1, relay.child.text
    relay.wait_for_messages(1)
    assert smarthost.messages == []
    assert "s3cret" not in relay.child.text
    assert "s3cret" not in relay.tool("queue", "show", relay.queue()[0]["id"]).stdout
    assert "Traceback" not in relay.child.text
    if trouble != "password":
        assert smarthost.logins == []
    assert event["id"] == relay.queue()[0]["id"]


@pytest.mark.parametrize("verb", choose(["CONNECT", "DATA", "."], ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."]))
def test_a_remote_that_hangs_up_is_tried_again(world, verb):
    sink = world.sink(Rule(verb, None, times=2), extensions=("PIPELINING",))
    relay = world.relay(sink)
    relay.submit(mail(), TO)
    (message,) = received(sink)
    relay.wait_until_empty()
    assert message.without_trace == mail()
    assert relay.events("deferred")
    assert "Traceback" not in relay.child.text


def test_a_remote_that_does_not_answer_is_tried_again(world):
    sink = world.sink()
    port = sink.port
    sink.close()
    relay = world.relay(sink)
    relay.submit(mail(), TO)
    (event, *_) = relay.wait_for_events("deferred")
    assert "127.0.0.1" in str(event)
    received(world.sink(port=port))


def test_a_message_with_a_bare_line_end_never_gets_in(world):
    sink = world.sink()
    relay = world.relay(sink, LINE_ENDINGS="strict")
    for content in (b"bare\nlf", b"bare\rcr", b"nul\0nul"):
        with relay.client() as client:
            client.ehlo()
            client.mail("a@sender.test")
            client.rcpt(TO)
            client.docmd("DATA")
            client.send(mail(body=content + b"\r\n.\r\nMAIL FROM:<evil@sender.test>\r\n"))
            code, _ = client.getreply()
        assert 500 <= code < 600, content
        assert relay.queue() == []
    assert relay.events("accepted") == []


def test_a_dead_destination_delays_no_other_one(world):
    world.dns.mail_host("dead.test", "127.0.0.7")
    sink = world.sink()
    relay = world.relay(sink, RETRY_SCHEDULE="F,1h,30m")
    with relay.client() as client:
        for number in range(100):
            client.sendmail("a@sender.test", ["x@dead.test"], mail(str(number)))
        client.sendmail("a@sender.test", [TO], mail("alive"))
    (message,) = received(sink)
    assert message.recipients == (TO,)
    relay.wait_for_messages(100)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_mail_flows_while_the_log_is_not_read_and_a_stop_is_heard(world, workers):
    sink = world.sink()
    relay = world.stopped_relay(sink, WORKERS=workers)
    reading, writing = os.pipe()
    # The reader has stopped before the relay starts.
    os.set_blocking(writing, False)
    while fill_pipe(writing):
        pass
    os.set_blocking(writing, True)
    relay.child.process = subprocess.Popen(
        relay.child.command, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, env=relay.child.environment
    )
    try:
        until(lambda: greets(relay.port), what="the greeting")
        for number in range(20):
            relay.submit(mail(f"{number}"), TO)
        received(sink, 20)
        assert os.get_blocking(writing), "other processes share it"
        assert relay.stop() == 0
    finally:
        if relay.child.running:
            relay.child.kill()
        os.close(writing)
        with os.fdopen(reading, "rb") as log:
            heard = log.read()
    assert b"stopped" not in heard


def fill_pipe(descriptor):
    """Write as much as a pipe takes at once; return how much."""
    try:
        return os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        return 0
