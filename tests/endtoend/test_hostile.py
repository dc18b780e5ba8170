"""Remote hosts and DNS servers at their worst beside honest ones: their mail waits, that of the others does not."""

import signal
import socket
import sqlite3
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.processes import greets
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.test_workers import submit_at_once
from tests.endtoend.world import TO, received
from tests.programs.hostile_servers import Hostile, answering, saying, silent

LARGE = (b"x" * 70 + b"\r\n") * 42_000
READY = (b"220 hi\r\n", b"250 mx\r\n")
#: The behaviour towards every client, and a part of the line in the log, "" if it outlasts the test.
HOSTS = {
    "silence": (silent, ""),
    "half": (saying(b"220-half a gree"), ""),
    "noise": (saying(b"\0\xff\x1b[2J\r\n"), "protocol error: not a reply"),
    "line": (saying(b"220 ", b"x" * 65536, times=2000), "a reply of more than 262144 octets"),
    "reply": (saying(b"220-and\r\n" * 7000, times=2000), "a reply of more than 1000 lines"),
    "offers": (answering(b"220 hi\r\n", b"250-X\r\n" * 10_000), "a reply of more than 1000 lines"),
    "tls": (
        answering(b"220 hi\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n\x16\x03\xff\xff\xffnonsense"),
        "plain text after the reply to STARTTLS",
    ),
    "deaf": (answering(*READY, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"), ""),
    "yes": (answering(*READY, b"250 ok\r\n", b"250 ok\r\n", b"250 taken\r\n"), "protocol error: reply to DATA"),
}


def peak_memory(pid):
    """Return the most memory a process ever had, in octets."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_hostile_hosts_delay_their_own_mail_only_and_no_mail_is_lost_or_doubled(world):
    sink = world.sink()
    with ExitStack() as stack:
        for number, (name, (behave, _)) in enumerate(HOSTS.items()):
            address = f"127.0.0.{40 + number}"
            world.dns.mail_host(f"{name}.test", address)
            stack.enter_context(Hostile(address, sink.port, behave))
        relay = world.relay(sink, RETRY_SCHEDULE="F,1h,30m")
        for name in HOSTS:
            relay.submit(mail(name, LARGE if name == "deaf" else b"Hello\r\n"), f"someone@{name}.test")
        relay.submit(mail("honest"), TO)
        (message,) = received(sink)
        assert message.without_trace == mail("honest")
        expected = {f"<someone@{name}.test>": words for name, (_, words) in HOSTS.items() if words}
        said = {event["to"]: event["reply"] for event in relay.wait_for_events("deferred", len(expected))}
        assert {to: words in said[to] for to, words in expected.items()} == dict.fromkeys(expected, True)
        assert all(text.isprintable() for text in said.values())
        assert peak_memory(relay.child.pid) < 150 * 1024 * 1024
        relay.wait_for_messages(len(HOSTS))
        assert relay.events("failed") == relay.events("fault") == []
        # A stop would give the one that is deaf its grace.
        relay.kill()
    # At the next start they are honest too.
    for name in HOSTS:
        world.dns.mail_host(f"{name}.test", "127.0.0.1")
    relay.start()
    received(sink, 1 + len(HOSTS))
    relay.wait_until_empty()
    assert len({message.header("Message-ID") for message in sink.messages}) == len(sink.messages) == 1 + len(HOSTS)


def test_a_dead_host_costs_all_workers_together_no_more_connections_than_one(world):
    sink = world.sink()
    world.dns.mail_host("dead.test", "127.0.0.7")
    with Hostile("127.0.0.7", sink.port, saying(b"421 4.3.2 no\r\n")) as dead:
        relay = world.relay(sink, WORKERS="2", RETRY_SCHEDULE="F,1h,30m")
        relay.wait_for_events("started")
        clients = [relay.client() for _ in range(40)]
        for client in clients:
            client.sendmail("a@sender.test", ["x@dead.test"], mail())
            client.quit()
        relay.wait_for_events("deferred", 40)
        # The window starts with five; after that one worker alone asks, in 30 seconds.
        assert 1 <= dead.connections <= 5
        submit_at_once(relay, 10)
        received(sink, 10)
        assert dead.connections <= 5
        relay.wait_for_messages(40)


def test_one_dead_dns_server_of_two_costs_no_mail_its_first_attempt(world):
    lost = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    lost.bind(("127.0.0.1", 0))
    with lost:
        sink = world.sink()
        relay = world.relay(sink, DNS_SERVERS=f"127.0.0.1:{lost.getsockname()[1]} {world.dns.setting}")
        relay.submit(mail("first"), TO)
        received(sink)
        relay.submit(mail("second"), "someone@sender.test")
        received(sink, 2)
        assert relay.events("deferred") == []


def test_a_queue_that_another_program_has_locked_costs_time_and_no_mail(world):
    sink = world.sink()
    relay = world.relay(sink)
    other = sqlite3.connect(relay.queue_dir / "queue.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with relay.client() as client, relay.client() as second:
        client.ehlo()
        client.mail("a@sender.test")
        client.rcpt(TO)
        client.docmd("DATA")
        client.send(mail() + b".\r\n")
        # Others are served meanwhile.
        assert greets(relay.port)
        assert second.noop()[0] == 250
        other.execute("ROLLBACK")
        other.close()
        assert client.getreply()[0] == 250
    received(sink)
    relay.wait_until_empty()
    assert relay.events("trouble") == relay.events("fault") == []


def test_a_daemon_that_is_stopped_still_owns_its_queue_and_is_named(world):
    relay = world.relay(world.sink())
    relay.child.process.send_signal(signal.SIGSTOP)
    try:
        second = world.stopped_relay(world.sink(Rule("RCPT", None)), QUEUE_DIR=str(relay.queue_dir))
        second.child.output = world.home / "second.log"
        words = second.start_and_fail()
    finally:
        relay.child.process.send_signal(signal.SIGCONT)
    (line,) = [line for line in words.splitlines() if line.startswith("smtprelay: ")]
    assert line == (
        f"smtprelay: another smtprelay (process {relay.child.pid}) uses {relay.queue_dir}: "
        "stop it, or set another QUEUE_DIR"
    )
    assert second.child.wait() == 1
    until(lambda: greets(relay.port), what="the greeting of the one that goes on")


def test_the_lock_of_a_process_that_is_gone_is_no_obstacle(world):
    relay = world.relay(world.sink())
    relay.kill()
    (relay.queue_dir / "lock").write_text("1\n")
    relay.start()
    assert greets(relay.port)


@pytest.fixture(autouse=True)
def _no_traceback(world):
    yield
    log = world.home / "relay" / "log"
    assert "Traceback" not in log.read_text()
