"""The tables of the shared queue at the start of a relay: made by the first one, upgraded, and checked by each."""

from mta.queue.interface import QueueError
from mta.queue.postgres.opening.engine import check_server
from mta.queue.postgres.opening.migration import MIGRATIONS, Migrations, create, expand, read_versions, refuse_newer
from mta.queue.postgres.session import DatabaseSession

__all__ = ["SCHEMA_KNOWN", "check_server", "open_schema"]

#: The newest schema that this program knows. It works with those of which `oldest_compatible` is not above it.
SCHEMA_KNOWN = MIGRATIONS.known
# The function to_regclass would answer from a cache, which does not notice tables of another transaction at once.
_EXISTS = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'smtprelay' AND tablename = 'meta')"


def open_schema(session: DatabaseSession, *, create: bool = True, migrations: Migrations = MIGRATIONS) -> None:
    """Make the tables if they are missing, upgrade older ones, and check that this program knows them.

    Without `create` nothing is changed. Blocks; raises QueueError.
    """
    if not _exists(session):
        if not create:
            raise QueueError("the database of QUEUE_URL has no queue yet: start a relay with it first")
        _create(session, migrations)
    version, oldest = read_versions(session)
    refuse_newer(oldest, migrations.known)
    if create:
        expand(session, migrations)
    elif version < migrations.expanded:
        raise QueueError(
            f"the shared queue has schema {version}, not yet {migrations.expanded}: start an upgraded relay first"
        )


def _create(session: DatabaseSession, migrations: Migrations) -> None:
    create(session, lambda: _exists(session), migrations)


def _exists(session: DatabaseSession) -> bool:
    exists: bool = session.rows(_EXISTS)[0][0]
    return exists
