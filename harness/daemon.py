"""The real daemon as an operator starts it: a process of its own, configured by environment variables alone."""

import os
import smtplib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import mta
from harness.log_lines import CutLine, read_line
from harness.processes import Child, free_port, greets
from harness.waiting import PATIENCE, until
from mta.admin.wire.messages import entry_object
from mta.blocking import run_inline
from mta.cli.results import result
from mta.queue.interface import Query
from mta.queue.worker_queues.combined import open_queues

ROOT = Path(__file__).parent.parent
#: The folder with the relay that runs in this process, and is started in others: ROOT, or that of a compiled build.
BUILD = Path(mta.__file__).parent.parent
#: The paths from which a relay that is started imports, as PYTHONPATH.
PYTHON_PATH = os.pathsep.join(dict.fromkeys([str(BUILD), str(ROOT)]))


def program(name: str) -> str:
    """Return the path of a program installed beside the running Python."""
    return str(Path(sys.executable).with_name(name))


def _tell_no_worker(*_: object) -> None:
    """Tell no worker of a change, because reading the queue changes no message."""


class Daemon:
    """One relay with a home of its own. `settings` are the documented variables and stand over the ones given here.

    Use as a context manager: entering starts it, leaving stops it. It may be killed and started again in between.
    """

    def __init__(self, home: Path, **settings: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": PYTHON_PATH,
            "PORT": str(self.port),
            "BIND_IP": "127.0.0.1",
            "DISABLE_IPV6": "yes",
            # No such device: only 127.0.0.1 is trusted, so that 127.0.0.2 can play a stranger.
            "NET_DEV": "none0",
            "MAILNAME": "relay.example.test",
            "QUEUE_DIR": str(home / "queue"),
            "MAIL_DIR": str(home / "mail"),
            "LOG_FORMAT": "json",
            **settings,
        }
        self.child = Child([program("twistd"), "-n", "--pidfile=", "smtprelay"], home / "log", self.environment)

    @property
    def queue_dir(self) -> Path:
        """Where its queue lies."""
        return Path(self.environment["QUEUE_DIR"])

    @property
    def mail_dir(self) -> Path:
        """Where its Maildirs lie."""
        return Path(self.environment["MAIL_DIR"])

    def start(self) -> None:
        """Start and wait for the greeting. Raises RuntimeError with the end of its output if it does not come."""
        self.child.start()
        try:
            until(lambda: greets(self.port) or not self.child.running, what="the relay's greeting")
        except TimeoutError:
            self.child.kill()
        if not self.child.running:
            raise RuntimeError(f"the relay does not start: {self.child.text[-4000:]}")

    def start_and_fail(self, expected: int | None = None) -> str:
        """Start, expect the daemon to end by itself with an error or with this status, and return its output."""
        self.child.start()
        try:
            status = self.child.wait()
        finally:
            if self.child.running:
                self.child.kill()
        assert status != 0, f"it ended as if all were well: {self.child.text}"
        assert expected in {None, status}, f"it ended with status {status}: {self.child.text}"
        return self.child.text

    def stop(self) -> int:
        """End it as a container's manager would and return its exit status."""
        return self.child.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.child.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.child.running:
            self.child.stop()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the event log's events of this name so far, without those of which a kill has cut the line."""
        # The last line may not be complete yet.
        whole, _, _ = self.child.text.rpartition("\n")
        pieces = (piece for line in whole.split("\n") if line.startswith("{") for piece in read_line(line))
        return [piece for piece in pieces if not isinstance(piece, CutLine) and piece.get("event") == name]

    def wait_for_events(self, name: str, number: int = 1, seconds: float = PATIENCE) -> list[dict[str, Any]]:
        """Wait until there are this many events of a name and return them."""
        what = f"{number} x {name} in the event log of {self.queue_dir}"
        until(lambda: len(self.events(name)) >= number, seconds, what=what)
        return self.events(name)

    def workers(self) -> dict[int, int]:
        """Return the processes of its workers by their numbers."""
        found = {}
        for path in (f"/proc/{pid}" for pid in os.listdir("/proc") if pid.isdigit()):
            try:
                parent = int(Path(path, "stat").read_text().rpartition(")")[2].split()[1])
                words = Path(path, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == self.child.pid and b"mta.workers.worker" in words:
                found[int(words[words.index(b"mta.workers.worker") + 1])] = int(path.rpartition("/")[2])
        return found

    def client(self, source: str = "127.0.0.1") -> smtplib.SMTP:
        """Connect as a mail client, from this address."""
        return smtplib.SMTP("127.0.0.1", self.port, "client.test", timeout=PATIENCE, source_address=(source, 0))

    def submit(self, content: bytes, to: str | Sequence[str], sender: str = "sender@sender.test") -> None:
        """Send a message as a mail client and have it accepted for every recipient."""
        with self.client() as client:
            refused = client.sendmail(sender, to, content)
        assert not refused, refused

    def tool(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the operator's command with the daemon's environment."""
        command = [program("smtprelay"), *arguments]
        return subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def queue(self) -> list[dict[str, Any]]:
        """Return the messages as `smtprelay queue list --json` shows them, without starting a process each time."""
        queues = open_queues(self.queue_dir, run=run_inline, now=time.time(), applied=_tell_no_worker)
        try:
            return [entry_object(entry) for entry in result(queues.find(Query()))]
        finally:
            result(queues.close())

    def wait_until_empty(self, seconds: float = PATIENCE) -> None:
        """Wait until the queue is empty."""
        self.wait_for_messages(0, seconds)

    def wait_for_messages(self, number: int, seconds: float = PATIENCE) -> None:
        """Wait until this many messages are in the queue: one that arrived leaves it a moment later."""
        until(lambda: len(self.queue()) == number, seconds, what=f"{number} messages in {self.queue_dir}")
