"""Conditions in PostgreSQL that differ from those in SQLite: locales, texts that it cannot store, and indexes."""

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mta.queue.ids import first_number, to_id
from mta.queue.interface import Query
from mta.queue.postgres.operator.search import count_messages, search
from mta.queue.postgres.session import DatabaseSession, Row
from mta.queue.search.conditions import Conditions, State
from tests.queue.postgres.tables import Tables

_HISTORY = """
INSERT INTO history (id, created, size, client, helo, protocol, body_type, smtputf8, login, message_id, subject, author,
                     tls, delay_reported, node, token, finished, failed, recipients)
SELECT (n * 1000000) << 10, n, 5, '', '', '', '', false, '', '', '', '', '', false, 1, 1, n, n % 100 = 0, '[{
    "local": "bob", "domain": "b.test", "status": "delivered", "attempts": 1, "host": "", "reply": "", "finished": 1
}]'
FROM generate_series(1::bigint, 20000) AS n;
ANALYZE history
"""


class ExplainedSession(DatabaseSession):
    """Keeps the plans of its statements."""

    plan = ""

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        self.plan = "\n".join(line for (line,) in super().rows(f"EXPLAIN {statement}", values))
        return super().rows(statement, values)


class PostgresSearchTests(SynchronousTestCase):
    def setUp(self):
        self.tables = Tables(self)
        self.session = self.tables.new_session(changes=False)

    def found(self, **conditions):
        return search(self.session, Query(conditions=Conditions(**conditions), finished=True))

    def test_only_ascii_letters_match_in_either_case_in_any_locale(self):
        self.tables = Tables(self, altered=True)
        self.session = self.tables.new_session(changes=False)
        for table in ("message", "recipient"):
            columns = ("local", "domain") if table == "recipient" else ("subject", "login")
            for column in columns:
                self.tables.look.execute(f'ALTER TABLE {table} ALTER {column} TYPE text COLLATE "tr-x-icu"')
        self.tables.add(1, "ILI@i.test", subject="TITLE für", login="İi")
        for conditions in (
            {"subject": "title"},
            {"subject": "TITLE FüR"},
            {"recipient": "ili@i.TEST"},
            {"recipient": "*LI@*"},
            {"login": "İI"},
            {"words": ("lI@i",)},
        ):
            self.assertEqual(self.found(**conditions), [1], conditions)
        for conditions in ({"subject": "FÜR"}, {"login": "ii"}, {"login": "\u0131i"}, {"subject": "t\u0131tle"}):
            self.assertEqual(self.found(**conditions), [], conditions)

    def test_a_text_that_cannot_be_stored_is_found_nowhere(self):
        self.tables.add(1, subject="ab", login="a")
        for text in ("a\0b", "a\ud800", "\udfff"):
            for conditions in ({"subject": text}, {"words": ("a", text)}, {"recipient": f"bob@{text}"}):
                self.assertEqual(self.found(**conditions), [])
                self.assertEqual(count_messages(self.session, Conditions(**conditions), finished=True), 0)
        self.assertEqual(self.found(words=("bob",), subject="\x01*", ids=("\0",)), [])
        self.assertEqual(self.found(subject="\U00010000*"), [])
        self.assertEqual(self.found(subject="*ab"), [1])

    def plan(self, query, *, finished=True):
        session = ExplainedSession(self.tables.parameters, changes=False)
        self.addCleanup(session.close)
        search(session, query)
        return session.plan

    def test_ids_times_and_failures_in_a_long_history_are_found_by_an_index(self):
        self.tables.look.execute(_HISTORY)
        last = to_id(first_number(20000.0))
        hour = Conditions(since=10000.0, until=10100.0)
        for query, index in (
            (Query(finished=True, newest_first=True, limit=50), "history_pkey"),
            (Query(finished=True, newest_first=True, limit=50, before=last), "history_pkey"),
            (Query([last], finished=True), "history_pkey"),
            (Query(finished=True, conditions=hour), "history_pkey"),
            (Query(finished=True, conditions=Conditions(ids=(last,))), "history_pkey"),
            (Query(finished=True, conditions=Conditions(states=(State.FAILED,)), limit=50), "failed"),
        ):
            plan = self.plan(query)
            self.assertIn(f"using {index} on history", plan.replace("Bitmap Index Scan on", "using"), query)
            self.assertNotIn("Seq Scan on history", plan)

    def test_a_search_for_messages_that_wait_does_not_read_the_history(self):
        held = Conditions(states=(State.HELD, State.WAITING))
        self.assertNotIn("history", self.plan(Query(finished=True, conditions=held)))
        self.assertNotIn("history", self.plan(Query()))

    def test_a_failure_in_a_message_that_waits_is_found_too(self):
        self.tables.add(7, "a@a.test", "b@b.test")
        self.tables.look.execute("UPDATE recipient SET status = 'failed', due = NULL, finished = 1 WHERE idx = 0")
        self.assertEqual(self.found(states=(State.FAILED,)), [7])
        self.assertEqual(self.found(states=(State.FAILED,), recipient="b@b.test"), [])
