"""A database with the tables of the queue, and rows in them as relays would have written them."""

import re
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.rows import dict_row

from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.queue.messages import NOW
from tests.queue.postgres.cluster import shared_cluster

BODY = b"Subject: hi\r\n\r\nhello\r\n"
_SCHEMA = (files("queue_schema") / "postgres" / "schema.sql").read_text("utf-8")
_MESSAGE = {
    "created": NOW,
    "size": len(BODY),
    "chunks": 0,
    "sender_local": "alice",
    "sender_domain": "example.org",
    "client": "192.0.2.7",
    "helo": "client.example.org",
    "protocol": "ESMTP",
    "body_type": "7BIT",
    "smtputf8": False,
    "login": "",
    "message_id": "",
    "subject": "",
    "author": "",
    "tls": "",
    "held": False,
    "token": 0,
    "due": NOW,
}


# A new database takes ten times as long as to empty one.
_NAMES = ", ".join(re.findall(r"^CREATE TABLE (\w+)", _SCHEMA, re.MULTILINE))
_FIRST_ROWS = "".join(re.findall(r"^INSERT INTO .*?;$", _SCHEMA, re.MULTILINE | re.DOTALL))
_EMPTY = f"SET search_path = smtprelay; TRUNCATE {_NAMES} RESTART IDENTITY; {_FIRST_ROWS}"
_emptied: list[str] = []


def _empty(name: str) -> None:
    """Make a database as it was when it was new, for another test. One that is still in use is dropped."""
    server = shared_cluster()
    options = {"options": "-c lock_timeout=1s"}
    try:
        with psycopg.connect(server.url(name, **options)) as connection:
            connection.execute(_EMPTY)
    except psycopg.Error:
        server.drop(name)
    else:
        _emptied.append(name)


class Tables:
    """A database with the tables as they are when they are new.

    `session` changes mail; `look` is another connection, which sees what is committed.
    """

    def __init__(self, case: Any, *, altered: bool = False) -> None:
        """`case.addCleanup` leaves it to another test, unless tables are `altered`."""
        server = shared_cluster()
        if _emptied and not altered:
            name = _emptied.pop()
        else:
            name = server.database()
            with psycopg.connect(server.url(name)) as connection:
                connection.execute(_SCHEMA)
        case.addCleanup(server.drop if altered else _empty, name)
        self.url = server.url(name)
        self.parameters = read_server(self.url).connection_parameters()
        self.look = psycopg.connect(
            **self.parameters, autocommit=True, row_factory=dict_row, options="-c search_path=smtprelay"
        )
        case.addCleanup(self.look.close)
        self._case = case
        self.session = self.new_session()

    def new_session(self, *, changes: bool = True) -> DatabaseSession:
        """Return another session, which is closed with the test."""
        session = DatabaseSession(self.parameters, changes=changes)
        self._case.addCleanup(session.close)
        return session

    def insert(self, table: str, **columns: Any) -> None:
        names, places = ", ".join(columns), ", ".join(f"%({name})s" for name in columns)
        self.look.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", columns)

    def add(self, number: int, *recipients: str, body: bytes = BODY, **columns: Any) -> None:
        """Insert a message, whose recipients wait. `columns` are those of `message`."""
        row = {**_MESSAGE, "id": number, **columns}
        self.insert("message", **row)
        for index, (local, _, domain) in enumerate(one.partition("@") for one in recipients or ("bob@example.test",)):
            self.insert("recipient", message_id=number, idx=index, local=local, domain=domain, due=row["due"])
        if not row["chunks"]:
            self.insert("body", message_id=number, data=body)
        for n in range(row["chunks"]):
            self.insert("chunk", message_id=number, n=n, node=row.get("node") or 1, data=body)

    def rows(self, table: str, order: str = "1") -> list[dict[str, Any]]:
        """Return the committed rows of a table."""
        return self.look.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()

    def row(self, table: str) -> dict[str, Any]:
        """Return the only row of a table."""
        (row,) = self.rows(table)
        return row

    def waits(self) -> bool:
        """Whether a session waits for a lock."""
        query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return self.look.execute(query).fetchone() is not None
