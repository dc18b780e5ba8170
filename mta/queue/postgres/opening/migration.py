"""Steps from one schema of the shared queue to the next, while relays of the last release go on with the old one.

A step that expands only adds to the tables; the first relay of a new release applies it at its start. A step that
contracts takes something away, and waits until each living relay knows it. Steps of both kinds have one row of numbers.
`meta` has the last one that expanded as `version`, and the last one that contracted as `oldest_compatible`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable

import psycopg

from mta.queue.interface import QueueError
from mta.queue.postgres.errors import LockTimeout, as_queue_error
from mta.queue.postgres.session import DatabaseSession

#: A step that waits for longer than this for the others' transactions gives up, because all new ones wait behind it.
LOCK_TIMEOUT = "2s"
#: Attempts at a step at the start of a relay.
TRIES = 15
#: Seconds between two attempts of the relays to contract.
CONTRACT_INTERVAL = 60.0
# Two relays must not change the tables at the same time. The number has no meaning.
_LOCK = "SELECT pg_advisory_xact_lock(8129642071)"
_STEP = re.compile(r"([0-9]{4})_(expand|contract)_[a-z0-9_]+\.sql")
_FOLDER = files("queue_schema") / "postgres"
_META = "SELECT name, value FROM smtprelay.meta"
_EXPANDED = "UPDATE smtprelay.meta SET value = %(number)s WHERE name = 'version'"
_CONTRACTED = """
UPDATE smtprelay.meta SET value = greatest(value, %(number)s) WHERE name IN ('version', 'oldest_compatible')
"""
# A relay that starts locks this row, so that none starts while it is decided whether all know the step.
_LEAST_KNOWN = """
SELECT (SELECT min(schema_known) FROM smtprelay.node WHERE NOT fenced) FROM smtprelay.node WHERE id = 0 FOR UPDATE
"""


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """A script that changes the tables, and its place among all of them."""

    number: int
    contracts: bool
    script: str


@dataclass(frozen=True, slots=True)
class Migrations:
    """The scripts of a release."""

    #: Makes the newest tables in an empty database.
    whole: str
    steps: tuple[MigrationStep, ...] = ()

    @property
    def known(self) -> int:
        """The newest schema that the release knows."""
        return max((step.number for step in self.steps), default=1)

    @property
    def expanded(self) -> int:
        """The oldest schema that has all that the release needs."""
        return max((step.number for step in self.steps if not step.contracts), default=1)


def read_migrations(folder: Traversable = _FOLDER) -> Migrations:
    """Return the scripts in a folder. Raises ValueError if the name of one is wrong or its number is not the next."""
    steps = []
    migrations = folder / "migrations"
    # Without a migration neither a clone nor a wheel has the folder.
    for entry in migrations.iterdir() if migrations.is_dir() else ():
        match = _STEP.fullmatch(entry.name)
        if match is None:
            raise ValueError(f"{entry.name} is no name of a migration")
        steps.append(MigrationStep(int(match[1]), match[2] == "contract", entry.read_text("utf-8")))
    steps.sort(key=lambda step: step.number)
    if [step.number for step in steps] != list(range(2, len(steps) + 2)):
        raise ValueError("the migrations are not numbered from 2 on")
    return Migrations((folder / "schema.sql").read_text("utf-8"), tuple(steps))


MIGRATIONS = read_migrations()


def refuse_newer(oldest: int, known: int) -> None:
    """Raise QueueError if a program that knows a schema cannot work with tables whose `oldest_compatible` is this."""
    if oldest > known:
        versions = f"schema {oldest}, and this one knows {known}"
        raise QueueError(f"the shared queue was made by a newer smtprelay ({versions}): upgrade this relay")


def read_versions(session: DatabaseSession) -> tuple[int, int]:
    """Return the schema's version and the oldest one whose programs can work with it. Raises QueueError."""
    meta: dict[str, int] = dict(session.rows(_META))
    try:
        return meta["version"], meta["oldest_compatible"]
    except KeyError:
        raise QueueError("the schema smtprelay of the database is not that of a queue: use another database") from None


def create(session: DatabaseSession, exists: Callable[[], bool], migrations: Migrations = MIGRATIONS) -> None:
    """Make the tables unless another relay has just done so. Blocks; raises QueueError."""
    with session.transaction():
        session.rows(_LOCK)
        if not exists():
            _run(session, migrations.whole)


def expand(session: DatabaseSession, migrations: Migrations = MIGRATIONS, *, tries: int = TRIES) -> None:
    """Apply the steps that only add to the tables and that they lack. Blocks; raises QueueError."""
    version, _ = read_versions(session)
    for step in migrations.steps:
        if step.number > version and not step.contracts:
            _try(partial(_expand, session, step), step, tries)


def _expand(session: DatabaseSession, step: MigrationStep) -> None:
    with session.transaction():
        session.rows(_LOCK)
        version, _ = read_versions(session)
        if version < step.number:
            _run(session, step.script)
            session.rows(_EXPANDED, {"number": step.number})


def _try(apply: Callable[[], None], step: MigrationStep, tries: int) -> None:
    """Apply a step. Between two attempts the transactions go on that waited behind it."""
    for _ in range(tries - 1):
        try:
            return apply()
        except LockTimeout:
            continue
    try:
        return apply()
    except LockTimeout as error:
        raise QueueError(
            f"the tables of the shared queue are in use, so that they cannot be upgraded to schema {step.number}: "
            "end long transactions in its database, and start this relay again"
        ) from error


def contract(session: DatabaseSession, migrations: Migrations = MIGRATIONS) -> None:
    """Apply the steps that take something away and that each living relay knows. Blocks; raises QueueError.

    A step for which the tables are in use waits for the next call.
    """
    for step in migrations.steps:
        if step.contracts:
            try:
                if not _contract(session, step):
                    return
            except LockTimeout:
                return


def _contract(session: DatabaseSession, step: MigrationStep) -> bool:
    """Apply a step that takes something away, unless it is done; return False if a relay does not know it."""
    with session.transaction():
        session.rows(_LOCK)
        ((least,),) = session.rows(_LEAST_KNOWN)
        _, oldest = read_versions(session)
        if oldest >= step.number:
            return True
        if least is not None and least < step.number:
            return False
        _run(session, step.script)
        session.rows(_CONTRACTED, {"number": step.number})
        return True


def _run(session: DatabaseSession, script: str) -> None:
    """Execute a script, whose statements cannot be prepared, within a transaction."""
    session.rows(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    try:
        session.connection.execute(script.encode(), prepare=False)
    except psycopg.Error as error:
        raise as_queue_error(error, broken=session.connection.broken) from error
