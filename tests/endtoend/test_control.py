"""The operator's socket of the real daemon: permissions, malformed input and floods."""

import os
import random
import socket
import stat
import subprocess
from contextlib import ExitStack, suppress

import pytest

from harness.sink_rules import Rule
from harness.waiting import PATIENCE, until
from mta.admin.unix_socket import MAX_CONNECTIONS
from tests.endtoend.mails import mail
from tests.endtoend.world import TO


def speak(path, *pieces):
    """Send pieces to the socket and wait for its end; return whether the daemon closed it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        with suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while client.recv(10_000):
                pass
        return True


def connected(path):
    """Return a connection, or None while the backlog of the kernel is full."""
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    try:
        client.connect(str(path))
    except BlockingIOError:
        client.close()
        return None
    return client


@pytest.fixture
def relay(world):
    """Return a relay with a message that waits for an hour."""
    relay = world.relay(world.sink(Rule("RCPT", "451 4.3.0 come back")), RETRY_SCHEDULE="F,1h,30m")
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    return relay


def test_nonsense_and_crowds_at_the_socket_cost_neither_mail_nor_descriptors_nor_commands(relay):
    path = relay.queue_dir / "control"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    dice = random.Random(5)
    nonsense = [
        b"\n" * 1000,
        b"retry\n",
        b"remove *\n",
        b"explode 0000000000001\n",
        b"EHLO me\r\nMAIL FROM:<a@b.test>\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"x" * 5_000_000,
        dice.randbytes(100_000),
        "retry \u2028\n".encode(),
        # Ids that no message has.
        b"remove 0000000000001\n" * 2000,
    ]
    for words in nonsense:
        assert speak(path, words)
    descriptors = f"/proc/{relay.child.pid}/fd"
    before = len(os.listdir(descriptors))
    with ExitStack() as crowd:
        for number in range(2 * MAX_CONNECTIONS):
            client = until(lambda: connected(path), what="room in the kernel's queue")
            crowd.callback(client.close)
            # Half a line, and no more.
            with suppress(OSError):
                client.sendall(b"retry 00000"[: number % 12])
        with relay.client() as client:
            assert client.noop()[0] == 250
        assert len(os.listdir(descriptors)) <= before + MAX_CONNECTIONS + 5
    until(lambda: len(os.listdir(descriptors)) <= before + 5, what="the end of the crowd's connections")
    (entry,) = relay.queue()
    assert relay.tool("queue", "hold", entry["id"]).returncode == 0
    relay.wait_for_events("amended")
    assert relay.queue()[0]["held"]
    assert relay.events("fault") == []
    assert relay.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")
def test_only_the_relays_user_may_speak_to_it(relay):
    # Even where the way to it were open.
    relay.queue_dir.chmod(0o755)
    for folder in relay.queue_dir.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    program = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", connect]
    said = subprocess.run(
        [*program, str(relay.queue_dir / "control")],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
    )
    assert "PermissionError" in said.stderr
