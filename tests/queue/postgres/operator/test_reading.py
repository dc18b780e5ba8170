"""Questions to the shared queue: the contract, on rows that are copied from a queue in a file."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.ids import to_id
from mta.queue.interface import Ledger, Load, Query, Queue, QueueId
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.finish import finish
from mta.queue.postgres.operator import reading, search
from mta.queue.postgres.session import DatabaseSession, Row
from mta.queue.search.conditions import Conditions
from mta.queue.sqlite.queue import open_queue
from tests.queue.contract.operating import ReadContract
from tests.queue.contract.searching import AttemptContract, DomainContract, SearchContract
from tests.queue.messages import NOW, scratch
from tests.queue.postgres.tables import BODY, Tables

_COPIED = ("message", "recipient", "attempt", "body")
_TRUTHS = ("smtputf8", "delay_reported", "held")


class CopiedQueue:
    """A queue in a file, of which questions are answered by the copy of its rows in a database."""

    def __init__(self, case: Any, tables: Tables) -> None:
        self._directory = scratch(case)
        self._file = open_queue(self._directory, run=run_inline, now=NOW)
        self._tables = tables
        self._session = tables.new_session(changes=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def find(self, query: Query) -> "Deferred[Any]":
        return self._ask(reading.find, query)

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[Any]":
        return self._ask(search.count_messages, conditions, finished=finished)

    def select(self, conditions: Conditions) -> "Deferred[Any]":
        return self._ask(reading.select, conditions)

    def domains(self, now: float) -> "Deferred[Any]":
        return self._ask(reading.domains, now)

    def summary(self) -> "Deferred[Any]":
        return self._ask(reading.summary)

    def audit(self) -> "Deferred[Any]":
        return self._ask(reading.audit)

    def load(self, now: float) -> "Deferred[Any]":
        return self._ask(reading.load, now)

    def content(self, id: QueueId) -> "Deferred[Any]":
        return self._ask(reading.content, id)

    def _ask(self, question: Any, *arguments: Any, **options: Any) -> "Deferred[Any]":
        self._copy()
        return execute(question, self._session, *arguments, **options)

    def _copy(self) -> None:
        with closing(sqlite3.connect(self._directory / FILE_NAME)) as file:
            file.row_factory = sqlite3.Row
            rows = {table: [dict(row) for row in file.execute(f"SELECT * FROM {table}")] for table in _COPIED}
            (ledger,) = map(dict, file.execute("SELECT accepted, delivered, failed, removed FROM ledger"))
        if rows == getattr(self, "_copied", None):
            return
        self._copied = {table: [dict(row) for row in each] for table, each in rows.items()}
        self._tables.look.execute(f"TRUNCATE history, {', '.join(_COPIED)}")
        finished = {row["id"]: row["finished"] for row in rows["message"] if row["finished"] is not None}
        for row in rows["message"]:
            row |= {name: bool(row[name]) for name in _TRUTHS}
            row |= {"node": 1 if row.pop("leased") else None, "chunks": row.pop("in_file"), "due": row["due"] or 0.0}
            del row["finished"]
        for table in _COPIED:
            for row in rows[table]:
                self._tables.insert(table, **row)
        changes = ", ".join(f"{name} = {count}" for name, count in ledger.items())
        self._tables.look.execute(f"UPDATE lane SET {changes}")
        for number, when in finished.items():
            finish(QueueChange(self._tables.session, 1), [number], when)


class ReadingTests(ReadContract, SearchContract, AttemptContract, DomainContract, SynchronousTestCase):
    def make_queue(self) -> Queue:
        return CopiedQueue(self, Tables(self))


class DisturbedSession(DatabaseSession):
    """Another relay adds a message after each statement."""

    tables: Tables
    number = 0

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        found = super().rows(statement, values)
        self.number += 1
        with self.tables.look.transaction():
            self.tables.add(self.number, "a@one.test", f"b@{self.number}.test")
            self.tables.look.execute("UPDATE lane SET accepted = accepted + 2")
        return found


class SnapshotTests(SynchronousTestCase):
    def setUp(self):
        self.tables = Tables(self)
        self.session = self.tables.new_session(changes=False)

    def disturbed(self) -> DatabaseSession:
        session = DisturbedSession(self.tables.parameters, changes=False)
        session.tables = self.tables
        self.addCleanup(session.close)
        return session

    def test_a_summary_and_an_audit_are_of_one_moment_while_relays_add_mail(self):
        summary = reading.summary(self.disturbed())
        self.assertEqual((summary.ledger.missing, summary.ledger.accepted), (0, 2 * summary.messages))
        self.tables.look.execute("TRUNCATE message, recipient, body; UPDATE lane SET accepted = 0")
        self.assertEqual(reading.audit(self.disturbed()).ledger.missing, 0)

    def test_the_ledger_is_the_sum_of_all_lanes(self):
        for node in (1, 2):
            for n in (0, 1):
                self.tables.insert(
                    "lane", node=node, n=n, accepted=9, delivered=3, failed=2, removed=1, buried=node == 1
                )
        self.tables.add(1, "a@b.test", "b@b.test")
        self.assertEqual(reading.audit(self.session).ledger, Ledger(36, 12, 8, 4, 2))

    def test_a_recipient_that_waits_without_its_message_is_told(self):
        self.tables.add(7)
        self.assertEqual(reading.audit(self.session).never_due, None)
        self.tables.look.execute("DELETE FROM message")
        self.assertEqual(reading.audit(self.session).never_due, to_id(7))

    def test_the_content_is_the_body_or_its_chunks_in_order(self):
        self.tables.add(1, body=b"\0\xff")
        self.tables.add(2, chunks=0, body=b"")
        self.tables.add(3, chunks=12, body=b"x")
        self.tables.look.execute("UPDATE chunk SET data = convert_to(n || ' ', 'UTF8')")
        content = [reading.content(self.session, to_id(number)) for number in (1, 2, 3, 4)]
        self.assertEqual(content, [b"\0\xff", b"", b"0 1 2 3 4 5 6 7 8 9 10 11 ", None])

    def test_the_load_is_the_messages_that_are_due_and_the_octets_of_all_that_wait(self):
        self.assertEqual(reading.load(self.session, NOW), Load(0, 0))
        self.tables.add(1)
        self.tables.add(2, due=NOW + 60)
        self.tables.add(3, held=True)
        self.tables.add(4, node=1, token=1)
        self.assertEqual(reading.load(self.session, NOW), Load(1, 4 * len(BODY), NOW))
