"""A queue on PostgreSQL, as several relays see it, with the rows that a test wants in it."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import psycopg

from mta.queue.postgres.membership.node import Node, join
from mta.queue.postgres.session import DatabaseSession, Row
from mta.queue.postgres.url import read_server
from tests.queue.postgres.cluster import shared_cluster

_MESSAGE = """
INSERT INTO message (id, created, size, chunks, client, helo, protocol, body_type, smtputf8, login, message_id, subject,
                     author, tls, held, node, token, due, doubt)
VALUES (%(id)s, 0, 1, 0, '', '', 'ESMTP', '7BIT', false, '', '', '', '', '', %(held)s, %(node)s, %(token)s, %(due)s,
        %(doubt)s)
"""
_END_LISTENING = """
SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'LISTEN%%' AND pid <> pg_backend_pid()
"""


class SharedQueue:
    """A new database with the schema of the queue, and sessions to it."""

    def __init__(self, url: str) -> None:
        self.parameters = read_server(url).connection_parameters()
        with psycopg.connect(url) as connection:
            connection.execute((files("queue_schema") / "postgres" / "schema.sql").read_text("utf-8"))
        self._sessions: list[DatabaseSession] = []
        self._own = self.session()

    def session(self) -> DatabaseSession:
        """Return a new session, which `close` closes."""
        self._sessions.append(DatabaseSession(self.parameters, changes=False))
        return self._sessions[-1]

    def node(self, name: str = "relay", lanes: int = 2) -> Node:
        """Return a new node."""
        return join(self._own, name, "1.0", 1, lanes)

    def rows(self, statement: str, **values: Any) -> list[Row]:
        """Execute a statement and return its rows."""
        return self._own.rows(statement, values)

    def let_lease_end(self, node: Node, seconds: float = 1) -> None:
        """Have the lease of a node be over for so many seconds."""
        over = "UPDATE node SET alive_until = clock_timestamp() - %(seconds)s * interval '1 s' WHERE id = %(id)s"
        self.rows(over, id=node.id, seconds=seconds)

    def add(self, id: int, node: Node | None = None, **columns: Any) -> None:
        """Add a message, claimed by a node until long from now unless `columns` say otherwise."""
        values: Mapping[str, Any] = {"held": False, "token": 1 if node else 0, "due": 9e9, "doubt": None, **columns}
        self.rows(_MESSAGE, id=id, node=node and node.id, **values)

    def message(self, id: int, columns: str) -> Row:
        """Return columns of a message."""
        (row,) = self.rows(f"SELECT {columns} FROM message WHERE id = %(id)s", id=id)
        return row

    def end_listening(self) -> None:
        """Have the server end the connections that listen for notifications."""
        self.rows(_END_LISTENING)

    def refuse(self) -> None:
        """Have the server end all connections to the database, and make no new ones."""
        self._allow_connections(False)
        end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{}'"
        shared_cluster().execute(end.format(self.parameters["dbname"]))

    def accept(self) -> None:
        """Have the server make connections again."""
        self._allow_connections(True)
        # Its own session has not noticed yet.
        self._own.close()

    def _allow_connections(self, allowed: bool) -> None:
        shared_cluster().execute(f"ALTER DATABASE {self.parameters['dbname']} ALLOW_CONNECTIONS {allowed}")

    def close(self) -> None:
        """Close all sessions."""
        for session in self._sessions:
            session.close()
