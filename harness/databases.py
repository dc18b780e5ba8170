"""The databases of a PostgreSQL server, or of a primary with its standbys: made, changed and deleted by a test."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

#: The superuser, and the role that owns the databases and has no other rights.
ADMINISTRATOR, OWNER = "postgres", "relay"


def database_url(hosts: str, ports: str, database: str, *, user: str = OWNER, **options: str) -> str:
    """Return the URL of a database; `options` are parameters of the connection. Hosts may be directories of sockets."""
    return f"postgresql://{user}@/{quote(database)}?{urlencode({'host': hosts, 'port': ports, **options})}"


class Databases(ABC):
    """Makes and deletes databases. A subclass knows the server."""

    def __init__(self) -> None:
        self._names = (f"relay_{number}" for number in count(1))

    @abstractmethod
    def url(self, database: str, *, user: str = OWNER) -> str:
        """Return the URL of a database."""

    def database(self, template: str = "template0") -> str:
        """Create a database of OWNER as a copy of a template, to which nobody is connected, and return its name."""
        name = next(self._names)
        create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
        self.execute(create.format(*map(sql.Identifier, (name, OWNER, template))))
        return name

    def drop(self, database: str) -> None:
        """Delete a database, and close the connections to it."""
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    @contextmanager
    def temporary(self, template: str = "template0") -> Iterator[str]:
        """Create a database and yield its name; delete it at the end."""
        name = self.database(template)
        try:
            yield name
        finally:
            self.drop(name)

    def execute(self, *statements: str | sql.Composed, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute statements as ADMINISTRATOR, each in a transaction of its own; return the rows of the last one."""
        with psycopg.connect(self.url(database, user=ADMINISTRATOR), autocommit=True) as connection:
            # It shall return although a synchronous standby is away.
            connection.execute("SET synchronous_commit = local")
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []
