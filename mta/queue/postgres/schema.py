"""The tables of the shared queue: made by the first relay, and checked with the server's settings by each."""

from importlib.resources import files

import psycopg

from mta.queue.interface import QueueError
from mta.queue.postgres.errors import as_queue_error
from mta.queue.postgres.session import DatabaseSession

#: The newest schema that this program knows. It works with those of which `oldest_compatible` is not above it.
SCHEMA_KNOWN = 1
#: The oldest version of the server, and its number.
_OLDEST_SERVER, _OLDEST_NUMBER = "14", 140000
_SCHEMA = files("queue_schema") / "postgres" / "schema.sql"
# Two relays that start at the same time must not both make the tables. The number has no meaning.
_LOCK = "SELECT pg_advisory_xact_lock(8129642071)"
# The function to_regclass would answer from a cache, which does not notice tables of another transaction at once.
_EXISTS = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'smtprelay' AND tablename = 'meta')"
_VERSIONS = "SELECT name, value FROM smtprelay.meta"
_SERVER = """
SELECT current_setting('server_version_num')::integer, current_setting('server_version'), current_setting('fsync'),
       current_setting('full_page_writes'), current_setting('synchronous_standby_names'),
       current_setting('server_encoding')
"""


def check_server(session: DatabaseSession) -> list[str]:
    """Return notices about the settings of the server. Blocks; raises QueueError if mail would not be safe there."""
    ((number, version, fsync, full_pages, standbys, encoding),) = session.rows(_SERVER)
    if number < _OLDEST_NUMBER:
        raise QueueError(f"the database is PostgreSQL {version}, and {_OLDEST_SERVER} is the oldest that works")
    if encoding != "UTF8":
        raise QueueError(
            f"the database has the encoding {encoding}, which not all mail can be stored in: create it with UTF8"
        )
    for setting, value in (("fsync", fsync), ("full_page_writes", full_pages)):
        if value != "on":
            raise QueueError(
                f"the database has {setting} = {value}, so that it loses accepted mail in a crash: turn it on"
            )
    if standbys:
        return []
    lost = "accepted mail is on one server alone, and lost with it"
    return [f"the database has no synchronous standby (synchronous_standby_names): {lost}"]


def open_schema(session: DatabaseSession, *, create: bool = True) -> None:
    """Make the tables if they are missing, and check that this program knows them. Blocks; raises QueueError."""
    if not session.rows(_EXISTS)[0][0]:
        if not create:
            raise QueueError("the database of QUEUE_URL has no queue yet: start a relay with it first")
        _create(session)
    versions: dict[str, int] = dict(session.rows(_VERSIONS))
    oldest = versions.get("oldest_compatible", 0)
    if oldest > SCHEMA_KNOWN:
        known = f"schema {oldest}, and this one knows {SCHEMA_KNOWN}"
        raise QueueError(f"the shared queue was made by a newer smtprelay ({known}): upgrade this relay")


def _create(session: DatabaseSession) -> None:
    with session.transaction():
        session.rows(_LOCK)
        if session.rows(_EXISTS)[0][0]:
            return
        try:
            # It is many statements, which cannot be prepared.
            session.connection.execute(_SCHEMA.read_text("utf-8"), prepare=False)
        except psycopg.Error as error:
            raise as_queue_error(error) from error
