"""Stops the program before each step of an operation and compares the disk with the table in README.md."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.message.body import MemoryBody
from mta.queue.ids import to_id
from mta.queue.interface import Action, Claim, NewMail, Query, Settlement, Verdict
from mta.queue.sql.marks import read_marks
from mta.queue.sqlite.ledger import stored_marks
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.smtp.address import parse_address
from tests.queue.messages import LEASE, NEVER, NOW, TOOK, mail, octets, scratch

README = Path(__file__).parents[2] / "queue_schema" / "README.md"
SMALL = b"Subject: small\r\n\r\nhi\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"x" * 2000 + b"\r\n"
RECIPIENT = parse_address("bob@example.test")


class State(NamedTuple):
    operation: str
    step: str
    files: str
    rows: str


def table() -> list[State]:
    """The rows of the README's table; a cell with several steps stands for one row each."""
    states = []
    for line in README.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 6 and re.match(r"[A-Z]\d", cells[0]):
            states += [State(cells[1], step.strip(), cells[3], cells[4]) for step in cells[2].split(",")]
    return states


class CrashTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = scratch(self)
        self.snapshots: list[tuple[str, Path]] = []
        self.queue = open_queue(self.home, run=run_inline, now=NOW, small=1000, step=self.step)
        # What was answered before the crash and must be there after it, small and large.
        self.acknowledged = [self.added(SMALL), self.added(LARGE)]
        self.settled = self.added(LARGE, lease=LEASE)
        self.successResultOf(self.queue.settle(Settlement(self.settled, [Verdict(0, TOOK)], NOW)))

    def step(self, name: str) -> None:
        copy = scratch(self)
        shutil.copytree(self.home, copy, ignore=shutil.ignore_patterns("*-shm", "lock"))
        self.snapshots.append((name, copy))

    def new(self, content: bytes, **parts: object) -> NewMail:
        new = mail(**parts)
        writer = self.queue.writer(new.id)
        writer.write(content)
        return NewMail(new.id, new.envelope, writer.finish())

    def added(self, content: bytes, lease: float | None = None) -> Claim | NewMail:
        new = self.new(content)
        claim = self.successResultOf(self.queue.add(new, NOW, lease=lease))
        return new if claim is None else claim

    def check(self, operation: str, act: Callable[[], object], message: str, report: str = "") -> None:
        """Do it, and compare what each stop left with the table; then let a start heal each."""
        self.snapshots.clear()
        act()
        seen = [self.state(operation, step, copy, message, report) for step, copy in self.snapshots]
        self.assertEqual(seen, [state for state in table() if state.operation == operation])
        for state, (_, copy) in zip(seen, self.snapshots[:], strict=True):
            self.heal(state, copy, message, report)

    def state(self, operation: str, step: str, copy: Path, message: str, report: str) -> State:
        names = {message: "M", report: "R"}
        ours = {path.name for path in (copy / "bodies").iterdir()} - {new.id for new in self.acknowledged}
        files = sorted(
            names[name.removesuffix(".part")] + name.removeprefix(name.removesuffix(".part")) for name in ours
        )
        again = scratch(self)
        shutil.copytree(copy, again)
        connection = sqlite3.connect(again / "queue.sqlite")
        rows = connection.execute("SELECT id, due IS NULL FROM message ORDER BY id").fetchall()
        marked = read_marks(stored_marks(connection))
        told = [
            f"{names[to_id(number)]} {'finished' if final else 'waiting'}{' marked' * (number in marked)}"
            for number, final in rows
            if to_id(number) in names
        ]
        return State(operation, step, ", ".join(files) or "-", ", ".join(told) or "-")

    def heal(self, state: State, copy: Path, message: str, report: str) -> None:
        queue = open_queue(copy, run=run_inline, now=NOW + 1, small=1000)
        self.addCleanup(lambda: self.successResultOf(queue.close()))
        self.assertEqual(queue.recovery.missing, ())
        told = [(message, RECIPIENT)] if state.rows == "M waiting marked" else []
        self.assertEqual(queue.recovery.possible_duplicates, tuple(told), state)
        self.assertEqual(self.successResultOf(queue.summary()).ledger.missing, 0, state)
        expected = {new.id for new in self.acknowledged}
        for name, id in (("M waiting", message), ("R waiting", report)):
            if name in state.rows:
                expected.add(id)
        claims = {claim.id: claim for claim in self.successResultOf(queue.claim(NOW + 1, 10, LEASE))}
        self.assertEqual(set(claims), expected, state)
        for claim in claims.values():
            self.assertIn(octets(claim.body), (SMALL, LARGE), state)
        large = {id for id, claim in claims.items() if claim.body.size > 1000}
        self.assertEqual({path.name for path in (copy / "bodies").iterdir()}, large, state)
        history = {entry.id for entry in self.successResultOf(queue.find(Query(finished=True)))} - set(claims)
        self.assertEqual(message in history, "M finished" in state.rows, state)
        self.assertIn(self.settled.id, history)

    def add(self, new: NewMail) -> Callable[[], object]:
        return lambda: self.successResultOf(self.queue.add(new, NOW, lease=LEASE))

    def test_add_of_a_small_message(self):
        new = self.new(SMALL)
        self.check("add small", self.add(new), new.id)

    def test_add_of_a_large_message(self):
        new = self.new(LARGE)
        self.check("add large", self.add(new), new.id)

    def settle(self, claim: Claim, *reports: NewMail) -> Callable[[], object]:
        verdicts = [Verdict(0, NEVER)]
        return lambda: self.assertTrue(
            self.successResultOf(self.queue.settle(Settlement(claim, verdicts, NOW, reports=reports)))
        )

    def test_marking_copies_in_flight(self):
        claim = self.added(SMALL, LEASE)
        self.check("send", lambda: self.successResultOf(self.queue.note_in_flight(claim.id, [0])), claim.id)

    def test_settling_a_small_message(self):
        claim = self.marked(SMALL)
        self.check("settle small", self.settle(claim), claim.id)

    def marked(self, content: bytes) -> Claim:
        claim = self.added(content, LEASE)
        self.successResultOf(self.queue.note_in_flight(claim.id, [0]))
        return claim

    def test_settling_a_large_message(self):
        claim = self.marked(LARGE)
        self.check("settle large", self.settle(claim), claim.id)

    def test_settling_with_a_small_report(self):
        claim, report = self.marked(SMALL), self.new(SMALL, sender=None)
        self.check("bounce small", self.settle(claim, report), claim.id, report.id)

    def test_settling_a_large_message_with_a_large_report(self):
        claim, report = self.marked(LARGE), self.new(LARGE, sender=None)
        self.check("bounce large", self.settle(claim, report), claim.id, report.id)

    def test_removing_a_large_message(self):
        new = self.added(LARGE)
        act = lambda: self.successResultOf(self.queue.apply(Action.REMOVE, [new.id], NOW))  # noqa: E731
        self.check("remove large", act, new.id)

    def test_a_body_that_never_ended(self):
        new = mail()
        writer = self.queue.writer(new.id)
        writer.write(LARGE)
        writer._file.flush()
        self.check("arrive large", lambda: self.step("end of data"), new.id)
        writer.abort()

    def test_a_waiting_message_whose_file_is_missing_is_told_and_its_body_cannot_be_read(self):
        small, large = self.acknowledged
        self.successResultOf(self.queue.close())
        (self.home / "bodies" / large.id).unlink()
        queue: SqliteQueue = open_queue(self.home, run=run_inline, now=NOW)
        self.addCleanup(queue.close)
        self.assertEqual(queue.recovery.missing, (large.id,))
        claims = {claim.id: claim for claim in self.successResultOf(queue.claim(NOW, 10, LEASE))}
        self.assertEqual(claims[small.id].body, MemoryBody(SMALL))
        self.assertRaises(OSError, octets, claims[large.id].body)
