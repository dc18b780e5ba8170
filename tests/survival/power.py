"""Mail under way while the power is cut: clients that note every 250, and the checks after the cut."""

import json
import random
import re
import shutil
import smtplib
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from harness.daemon import Daemon
from harness.sink import Sink
from harness.sink_rules import Message, Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO
from tests.programs.power_disk import PowerDisk

CLIENTS = 8
#: Clients pause while this many accepted messages have not arrived.
BACKLOG = 300
LINE = b"x" * 70 + b"\r\n"
SMALL = LINE * 40
#: More than the queue keeps in a row: one message in ten has a file.
LARGE = LINE * 5000


class Load:
    """Clients that send and note every 250. A connection that breaks is opened again."""

    def __init__(self, relay: Daemon, sink: Sink) -> None:
        self._relay = relay
        self._sink = sink
        self.accepted: set[str] = set()
        self.up = threading.Event()
        self.over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        self.up.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        count = 0
        while self.up.wait() and not self.over.is_set():
            try:
                with self._relay.client() as client:
                    while not self.over.wait(0.01 if self._behind() else 0):
                        count += 1
                        self._send(client, f"{number}.{count}", LARGE if count % 10 == 3 else SMALL)
            except (OSError, smtplib.SMTPException):
                self.over.wait(0.01)

    def _behind(self) -> bool:
        return len(self.accepted) - len(self._sink.messages) > BACKLOG

    def _send(self, client: smtplib.SMTP, token: str, body: bytes) -> None:
        client.sendmail(f"{token}@sender.test", [TO], mail(token, body))
        self.accepted.add(token)


@dataclass
class Outage:
    """A relay on such a disk, under load, whose power is cut again and again. `seed` repeats the moments."""

    relay: Daemon
    sink: Sink
    disk: PowerDisk
    seed: int
    torn: bool = False
    #: The faults that SQLite found in the queue's files.
    damage: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.moments = random.Random(self.seed)

    def cycle(self, load: Load) -> None:
        """Start, be under load for a moment, cut the power, examine the rest."""
        self._start()
        load.up.set()
        begun = len(load.accepted)
        until(lambda: len(load.accepted) > begun, what=f"an accepted message (seed {self.seed})")
        self.refuse(self.moments.random() < 0.5)
        load.over.wait(self.moments.uniform(0, 0.7))
        self.cut(load)

    def cut(self, load: Load) -> None:
        """Cut the power and bring it back."""
        self.disk.cut()
        load.up.clear()
        self._end()

    def finish(self) -> None:
        """Start for the last time and wait until all is delivered."""
        self.refuse(False)
        self.relay.start()
        self.relay.wait_until_empty()

    def _start(self) -> None:
        """Start, or now and then have the power fail in the middle of that."""
        if self.moments.random() < 0.25:
            self.relay.child.start()
            threading.Event().wait(self.moments.uniform(0.2, 0.8))
            self.disk.cut()
            self._end()
        self.relay.start()

    def _end(self) -> None:
        self.relay.kill()
        self.disk.on(self.moments.randrange(1 << 32) if self.torn else None)
        until(lambda: not self.sink.open_connections, what="the end of the dead daemon's connections")
        for home in homes(self.relay.queue_dir):
            self._look(home)

    def _look(self, home: Path) -> None:
        """Examine a copy, so that the relay starts with untouched files."""
        copy = self.relay.queue_dir.parent.parent.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in home.glob("queue.sqlite*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy)
        if (copy / "queue.sqlite").exists():
            with closing(sqlite3.connect(copy / "queue.sqlite")) as connection:
                self.damage += examined(connection)

    def refuse(self, all: bool) -> None:
        """Have the sink put everything off, so that much waits in the queue; or take it again."""
        self.sink.rules[:] = [Rule("RCPT", "451 4.3.0 later")] if all else []


def examined(connection: sqlite3.Connection) -> list[str]:
    """Return the faults that SQLite finds, and the ledger if it does not add up."""
    try:
        faults = [text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
        faults += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
        (owed,) = connection.execute("SELECT accepted - delivered - failed - removed FROM ledger").fetchone()
        (left,) = connection.execute("SELECT count(*) FROM recipient WHERE status = 'waiting'").fetchone()
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return faults if owed == left else [*faults, f"{left} wait, but the ledger says {owed}"]


def homes(queue_dir: Path) -> list[Path]:
    """Return where there is a queue."""
    return [path.parent for path in [queue_dir / "queue.sqlite", *queue_dir.glob("worker-*/queue.sqlite")]]


def tokens(sink: Sink) -> list[str]:
    """Return the mail that has arrived."""
    return [message.sender.partition("@")[0] for message in list(sink.messages)]


def repeated(sink: Sink) -> Counter[str]:
    """Return the ids of the mail that arrived more than once, each with the number of surplus copies."""
    ids = Counter(_id(message) for message in list(sink.messages))
    return ids - Counter(set(ids))


def named(relay: Daemon) -> Counter[str]:
    """Return how often the log named a message's id as one that may arrive again."""
    return Counter(event["id"] for event in relay.events("possible-duplicate"))


def _id(message: Message) -> str:
    found = re.search(r"\bid ([0-9a-z]{13})\b", message.header("Received") or "")
    assert found, message
    return found[1]


def ledger(relay: Daemon) -> dict[str, int]:
    """Return the ledger of the whole queue."""
    done = relay.tool("queue", "summary", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout).get("ledger", {})
    return found
