"""Programs started beside the tests and the bench: free ports, and an end for every program that was started."""

import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Self

from harness.waiting import PATIENCE

# Ports for servers lie below those that Linux gives to clients (32768 and up), so that no connection takes one between
# its choice and the start of the server.
_BLOCKS = range(12000, 32000, 250)


@cache
def _block() -> Iterator[int]:
    """Return the ports of this process: a block that no other process of this host hands out, over and over.

    An abstract socket is the claim to a block: the kernel gives it up when the process ends.
    """
    for first in random.sample(_BLOCKS, len(_BLOCKS)):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0smtprelay-tests-{first}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return cycle(range(first, first + _BLOCKS.step))
    raise OSError("all ports for the tests' servers are taken: too many test runs at once")


_claims: list[socket.socket] = []


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, and that no other test is given soon."""
    for port in islice(_block(), _BLOCKS.step):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            probe.listen()
            return port
    raise OSError("no port is free for a test's server")


def find_program(name: str) -> str | None:
    """Return the path of a foreign program, looked for in the administrator's folders too."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def with_mounts(mounts: Mapping[str, Path]) -> list[str]:
    """Return a prefix for commands with which they see these files and folders in place of the host's, by their paths.

    Only root may use it.
    """
    binds = " && ".join(f"mount --bind {own} {path}" for path, own in mounts.items())
    return ["unshare", "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh"]


def greets(port: int) -> bool:
    """Whether a mail server greets on this port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            return connection.recv(512).startswith(b"220")
    except OSError:
        return False


class Child:
    """One program, whose output goes to a file. It ends with the `with` block, also after an exception in the block."""

    def __init__(self, command: Sequence[str], output: Path, environment: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.output = output
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program, with its output appended to the file."""
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=self.environment
            )

    @property
    def pid(self) -> int:
        """The process id of the program that was started last."""
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def text(self) -> str:
        """All output so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for the program's own end and return its exit status. Raises subprocess.TimeoutExpired."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self, seconds: float = PATIENCE) -> int:
        """Ask the program to end and return its exit status; after `seconds` it is killed."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the program at once, as a power cut would, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.running:
            self.stop()
