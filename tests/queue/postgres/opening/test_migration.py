"""Upgrades of the tables of a shared queue while relays of the last release work with them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mta.queue.ids import to_number
from mta.queue.interface import QueueError
from mta.queue.postgres.membership.node import Node, join
from mta.queue.postgres.opening.migration import (
    MIGRATIONS,
    Migrations,
    MigrationStep,
    contract,
    expand,
    read_migrations,
    read_versions,
)
from mta.queue.postgres.schema import SCHEMA_KNOWN, open_schema
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.queue.postgres.nodes import running_node

OLD = SCHEMA_KNOWN
#: A release with two more steps, as an operator meets it after one without them.
NEWER = Migrations(
    MIGRATIONS.whole,
    (
        *MIGRATIONS.steps,
        MigrationStep(OLD + 1, False, "ALTER TABLE smtprelay.message ADD COLUMN colour text NOT NULL DEFAULT 'grey'"),
        MigrationStep(OLD + 2, True, "ALTER TABLE smtprelay.message DROP COLUMN author"),
    ),
)


class Upgrade:
    """A database with the tables of this release, and sessions to it."""

    def __init__(self, url: str) -> None:
        self._parameters = read_server(url).connection_parameters()
        self._sessions: list[DatabaseSession] = []
        self.session = self.new_session()
        open_schema(self.session)

    def new_session(self) -> DatabaseSession:
        self._sessions.append(DatabaseSession(self._parameters, changes=False))
        return self._sessions[-1]

    def join(self, known: int) -> Node:
        return join(self.session, "relay", "1.0", known, 1)

    def take_over(self, node: Node) -> None:
        self.session.rows("UPDATE node SET fenced = true WHERE id = %(id)s", {"id": node.id})

    def columns(self) -> set[str]:
        query = (
            "SELECT attname FROM pg_attribute WHERE attrelid = 'message'::regclass AND attnum > 0 AND NOT attisdropped"
        )
        return {name for (name,) in self.session.rows(query)}

    def close(self) -> None:
        for session in self._sessions:
            session.close()


@pytest.fixture
def upgrade(database_url: str) -> Iterator[Upgrade]:
    upgrade = Upgrade(database_url)
    yield upgrade
    upgrade.close()


def test_a_newer_relay_adds_its_columns_at_its_start(upgrade: Upgrade) -> None:
    upgrade.join(OLD)
    for _ in range(2):
        open_schema(upgrade.new_session(), migrations=NEWER)
    assert {"colour", "author"} < upgrade.columns()
    assert read_versions(upgrade.session) == (OLD + 1, OLD)
    # The old one may start again.
    open_schema(upgrade.new_session())


def test_a_column_goes_when_no_living_relay_needs_it(upgrade: Upgrade) -> None:
    old = upgrade.join(OLD)
    open_schema(upgrade.session, migrations=NEWER)
    upgrade.join(NEWER.known)
    contract(upgrade.session, NEWER)
    assert "author" in upgrade.columns()
    upgrade.take_over(old)
    for _ in range(2):
        contract(upgrade.session, NEWER)
    assert "author" not in upgrade.columns()
    assert read_versions(upgrade.session) == (OLD + 2, OLD + 2)


def test_an_old_relay_that_runs_goes_on_after_an_upgrade(upgrade: Upgrade, database_url: str) -> None:
    with running_node(database_url, "old") as old:
        before = old.add_waiting()
        expand(upgrade.session, NEWER)
        upgrade.join(NEWER.known)
        after = old.add_waiting()
        old.deliver_all()
        contract(upgrade.session, NEWER)
        assert "author" in upgrade.columns()
        assert upgrade.session.rows("SELECT id, colour FROM message") == []
        finished = {number for (number,) in upgrade.session.rows("SELECT id FROM history")}
        assert finished == {to_number(before), to_number(after)}


def test_an_old_relay_is_refused_after_that(upgrade: Upgrade) -> None:
    expand(upgrade.session, NEWER)
    contract(upgrade.session, NEWER)
    for start in (lambda: open_schema(upgrade.new_session()), lambda: upgrade.join(OLD)):
        with pytest.raises(QueueError, match="made by a newer smtprelay"):
            start()


def test_a_command_of_a_newer_release_changes_nothing(upgrade: Upgrade) -> None:
    with pytest.raises(QueueError, match=f"has schema {OLD}, not yet {OLD + 1}: start an upgraded relay first"):
        open_schema(upgrade.session, create=False, migrations=NEWER)
    assert "colour" not in upgrade.columns()


def test_relays_that_start_together_upgrade_once(upgrade: Upgrade) -> None:
    sessions = [upgrade.new_session() for _ in range(4)]
    with ThreadPoolExecutor(len(sessions)) as pool:
        # An upgrade that is done twice would add a column that is there, and fail.
        assert list(pool.map(lambda session: expand(session, NEWER), sessions)) == [None] * len(sessions)
    assert read_versions(upgrade.session) == (OLD + 1, OLD)


def test_tables_in_use_are_tried_again_and_then_told(upgrade: Upgrade) -> None:
    other = upgrade.new_session()
    other.rows("BEGIN")
    other.rows("LOCK TABLE message IN ACCESS SHARE MODE")
    with pytest.raises(QueueError, match="are in use, so that they cannot be upgraded"):
        expand(upgrade.session, NEWER, tries=1)
    contract(upgrade.session, NEWER)
    assert read_versions(upgrade.session) == (OLD, OLD)
    other.rows("COMMIT")
    expand(upgrade.session, NEWER, tries=1)
    assert "colour" in upgrade.columns()


def test_a_schema_of_another_program_is_refused(database_url: str) -> None:
    session = DatabaseSession(read_server(database_url).connection_parameters(), changes=False)
    session.rows("CREATE SCHEMA smtprelay")
    session.rows("CREATE TABLE smtprelay.meta (name text, value bigint)")
    with pytest.raises(QueueError, match="is not that of a queue"):
        open_schema(session)
    session.close()


def test_the_names_of_migrations(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("")
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0002_expand_colours.sql").write_text("a")
    (folder / "0003_contract_authors.sql").write_text("b")
    read = read_migrations(tmp_path)
    assert read.steps == (MigrationStep(2, False, "a"), MigrationStep(3, True, "b"))
    assert (read.known, read.expanded) == (3, 2)
    (folder / "0005_expand_more.sql").write_text("c")
    with pytest.raises(ValueError, match="not numbered from 2 on"):
        read_migrations(tmp_path)
    (folder / "0004_more.sql").write_text("d")
    with pytest.raises(ValueError, match=r"0004_more.sql is no name"):
        read_migrations(tmp_path)


def test_a_new_database_has_the_newest_schema(upgrade: Upgrade) -> None:
    version, _ = read_versions(upgrade.session)
    assert version == SCHEMA_KNOWN
