"""The reactor of the real daemon: faults in single connections, and another reactor that the operator names."""

import os
import smtplib
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from harness.daemon import PYTHON_PATH
from harness.sink_rules import Rule
from harness.waiting import PATIENCE
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received
from tests.programs import faulty_connections

FAULTY = Path(next(iter(faulty_connections.__path__)))
PATHS = os.pathsep.join([str(FAULTY), PYTHON_PATH])


def polls(pid: int) -> bool:
    """Whether a process has a descriptor of epoll."""
    return any(os.readlink(path) == "anon_inode:[eventpoll]" for path in Path(f"/proc/{pid}/fd").iterdir())


def faults(relay, number):
    """Wait for as many faults in the log, and return their texts."""
    return [event["text"] for event in relay.wait_for_events("fault", number)]


def test_a_fault_in_a_read_ends_one_connection_and_no_mail_is_lost(world):
    sink = world.sink(Rule("EHLO", "250 FAULT-IN-READ", times=1))
    relay = world.relay(sink, PYTHONPATH=PATHS)
    with relay.client() as other, relay.client() as client:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.docmd("NOOP FAULT-IN-READ")
        other.sendmail("a@sender.test", [TO], mail("kept"))
    (message,) = received(sink)
    assert message.without_trace == mail("kept")
    relay.wait_until_empty()
    assert faults(relay, 2) == ["a read failed"] * 2


def test_a_fault_in_a_write_ends_one_connection(world):
    sink = world.sink()
    relay = world.relay(sink, PYTHONPATH=PATHS)
    with socket.socket() as deaf, relay.client() as other:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(PATIENCE)
        deaf.connect(("127.0.0.1", relay.port))
        # The relay closes the connection while replies wait until the reactor finds room for them.
        with suppress(ConnectionError):
            deaf.sendall(b"NOOP FAULT-IN-WRITE\r\n")
            deaf.sendall(b"EHLO client.test\r\n" * 20_000)
            while deaf.recv(65536):
                pass
        other.sendmail("a@sender.test", [TO], mail("kept"))
    received(sink)
    assert faults(relay, 1) == ["a write failed"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reactor_that_the_operator_names_is_that_of_all_processes(world, workers):
    sink = world.sink()
    # Without DANE, because libunbound has a descriptor of epoll too.
    relay = world.stopped_relay(sink, WORKERS=workers, DANE="off")
    relay.child.command[1:1] = ["--reactor=poll"]
    relay.start()
    relay.wait_for_events("started")
    relay.submit(mail("polled"), TO)
    (message,) = received(sink)
    assert message.without_trace == mail("polled")
    processes = [relay.child.pid, *relay.workers().values()]
    assert [polls(pid) for pid in processes] == [False] * len(processes)
    relay.stop()
    relay.child.command.remove("--reactor=poll")
    relay.start()
    relay.wait_for_events("started", 2)
    processes = [relay.child.pid, *relay.workers().values()]
    assert [polls(pid) for pid in processes] == [True] * len(processes)
