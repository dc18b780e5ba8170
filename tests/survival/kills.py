"""The load under which a daemon is killed: clients that note every reply, hosts of several kinds, and the books."""

import json
import re
import smtplib
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.daemon import Daemon
from harness.log_lines import CutLine, read_line
from harness.sink import Sink
from harness.sink_rules import Message, Rule
from tests.endtoend.mails import mail

CLIENTS = 20
#: Clients pause while this many accepted messages have not arrived, so that the last restart has an end in sight.
BACKLOG = 1000
LINE = b"x" * 70 + b"\r\n"
SMALL = LINE * 40
#: More than the queue keeps in a row: one message in fifty has a file.
LARGE = LINE * 5000
_DOMAIN = "example.test"
_FINAL = re.compile(rb"^Final-Recipient: rfc822; *(\S+)", re.IGNORECASE | re.MULTILINE)

#: A recipient that is refused for good. Those that are called `later` are put off while the sink has a rule for it.
REFUSED = Rule("RCPT", "550 5.1.1 no such user", match="never.")


#: One that is put off whenever it is tried, until an operator takes the message out.
STAYS = Rule("RCPT", "451 4.3.0 not today", match="stays.")


def put_off(times: int) -> Rule:
    """Return a rule that puts so many recipients off."""
    return Rule("RCPT", "451 4.3.0 come back", match="later.", times=times)


def recipients(token: str, count: int) -> list[str]:
    """Return the recipients of a client's message number `count`: some have three, some are put off, some refused."""
    names = [token, f"b.{token}", f"c.{token}"] if count % 10 == 1 else [token]
    if count % 20 == 3:
        names.append(f"later.{token}")
    if count % 40 == 5:
        names.append(f"never.{token}")
    if count % 100 == 7:
        names.append(f"stays.{token}")
    return [f"{name}@{_DOMAIN}" for name in names]


class Load:
    """Clients that send and note every 250. A connection that breaks is opened again."""

    def __init__(self, relay: Daemon, sink: Sink) -> None:
        self.relay = relay
        self.sink = sink
        #: Messages, and their recipients.
        self.accepted: set[str] = set()
        self.owed: set[str] = set()
        self.sent = 0
        self.up = threading.Event()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.books = Books(sink)
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        self.up.set()
        for thread in self.threads:
            thread.join()

    def run(self, number: int) -> None:
        """Send until it is over."""
        count = 0
        while self.up.wait() and not self.over.is_set():
            try:
                with self.relay.client() as client:
                    while not self.over.wait(0.01 if self.behind() else 0):
                        count += 1
                        self.send(client, f"{number}.{count}", count)
            except (OSError, smtplib.SMTPException):
                self.over.wait(0.01)

    def behind(self) -> bool:
        """Whether too much is on its way."""
        return len(self.accepted) - self.books.messages - len(self.sink.messages) > BACKLOG

    def send(self, client: smtplib.SMTP, token: str, count: int) -> None:
        """Send one message, and note it when it was accepted."""
        with self.lock:
            self.sent += 1
        to = recipients(token, count)
        refused = client.sendmail(f"{token}@sender.test", to, mail(token, LARGE if count % 50 == 0 else SMALL))
        with self.lock:
            self.accepted.add(token)
            self.owed.update(set(to) - set(refused))


@dataclass
class Books:
    """The mail that the sink received, kept as counts to save memory. `take` moves new mail into them."""

    sink: Sink
    messages: int = 0
    arrived: Counter[str] = field(default_factory=Counter)
    #: The recipients with a report of their failure, and the senders that got reports.
    failed: Counter[str] = field(default_factory=Counter)
    reports: Counter[str] = field(default_factory=Counter)
    spoilt: list[str] = field(default_factory=list)

    def take(self) -> None:
        """Count the mail that has arrived since the last call."""
        with self.sink.lock:
            messages = self.sink.messages[:]
            del self.sink.messages[:]
            self.messages += sum(bool(message.sender) for message in messages)
        for message in messages:
            if message.sender:
                self.arrived.update(message.recipients)
                if not _whole(message):
                    self.spoilt.append(message.sender)
            else:
                self.reports.update(message.recipients)
                self.failed.update({address.decode() for address in _FINAL.findall(message.content)})

    @property
    def copies(self) -> Counter[str]:
        """The number of surplus copies that each address got."""
        twice = (self.arrived + self.reports).items()
        return Counter({address: count - 1 for address, count in twice if count > 1})


def assert_the_books_agree(relay: Daemon, books: Books, removed: set[str], owed: set[str]) -> None:
    """Compare the ledger with the mail that arrived: every recipient has exactly one end, and each is counted once."""
    done = relay.tool("queue", "summary", "--json")
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)["ledger"]
    arrived, failed, reports = set(books.arrived), set(books.failed), set(books.reports)
    assert owed - arrived - failed - removed == set()
    assert not arrived & failed
    assert not (arrived | failed) & removed
    assert counted == {
        "accepted": len(arrived) + len(failed) + len(removed) + len(reports),
        "delivered": len(arrived) + len(reports),
        "failed": len(failed),
        "removed": len(removed),
        "waiting": 0,
        "missing": 0,
    }


def _whole(message: Message) -> bool:
    token = message.sender.partition("@")[0]
    return message.without_trace in (mail(token, SMALL), mail(token, LARGE))


def tokens(sink: Sink) -> list[str]:
    """Return the names of the senders of all mail that arrived."""
    return [message.sender.partition("@")[0] for message in list(sink.messages)]


class Lines:
    """The journal of a daemon that is started again and again, read on from where it was read last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        #: The complete starts, and the possible duplicates that the latest takeover reported.
        self.started = 0
        self.found: Counter[str] = Counter()
        #: How often each address was said to have perhaps been delivered before, at a start or not.
        self.reasons: Counter[str] = Counter()
        self.faults: list[str] = []
        #: The lines that a kill has cut: at most one for each.
        self.cut: list[str] = []
        self._finding = False

    def read(self) -> int:
        """Read the new lines, and return the number of starts."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole, end, _ = file.read().rpartition(b"\n")
        self._at += len(whole) + len(end)
        for line in whole.split(b"\n"):
            for piece in read_line(line.decode(errors="replace")):
                self._take(piece)
        return self.started

    def _take(self, piece: dict[str, Any] | CutLine) -> None:
        if isinstance(piece, CutLine):
            self.cut.append(piece.text)
        event = piece.event if isinstance(piece, CutLine) else piece
        name, to = event.get("event"), event.get("to", "").strip("<>")
        # A start tells all that it found in one go.
        if name == "recovered":
            self.found, self._finding = Counter(), True
        elif name != "possible-duplicate":
            self._finding = False
        elif self._finding:
            self.found[to] += 1
        if name == "possible-duplicate" or (name == "deferred" and "may have been taken" in event.get("reply", "")):
            self.reasons[to] += 1
        self.started += name == "started"
        if name in {"fault", "trouble"}:
            self.faults.append(str(piece))
