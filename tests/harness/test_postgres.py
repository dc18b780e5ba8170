"""The private PostgreSQL server: its end, its failures, and what a failover keeps and loses."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from harness import postgres
from harness.databases import OWNER
from harness.postgres import WITH_PASSWORD, Cluster, NoPostgresError, programs
from harness.waiting import until

try:
    programs()
except NoPostgresError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with Cluster(tcp=True) as cluster:
        yield cluster


@pytest.fixture
def database(server: Cluster) -> str:
    name = server.database()
    server.execute("CREATE TABLE note (n integer)", f"GRANT ALL ON note TO {OWNER}", database=name)
    return name


def write(server: Cluster, database: str, number: int) -> None:
    with psycopg.connect(server.url(database)) as connection:
        connection.execute("INSERT INTO note VALUES (%s)", (number,))


def notes(server: Cluster, database: str) -> list[int]:
    return [number for (number,) in server.execute("SELECT n FROM note ORDER BY n", database=database)]


def test_commits_are_durable_and_its_users_have_no_rights_beyond_their_database(server: Cluster, database: str):
    with psycopg.connect(server.url(database)) as connection:
        settings = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]
        assert settings == [("on",), ("on",)]
        connection.execute("CREATE SCHEMA own")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE another")


def test_a_server_that_reuses_its_log_files_makes_no_more():
    def files() -> set[str]:
        found = cluster.execute("SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'")
        return {name for (name,) in found}

    with Cluster() as cluster:
        cluster.reuse_log_files()
        before = files()
        cluster.execute(*["SELECT pg_create_restore_point('next')", "SELECT pg_switch_wal()"] * 7)
        assert files() == before


def test_a_database_is_a_copy_of_its_template_until_it_is_dropped(server: Cluster, database: str):
    write(server, database, 1)
    copy = server.database(template=database)
    write(server, copy, 2)
    assert (notes(server, database), notes(server, copy)) == ([1], [1, 2])
    server.drop(copy)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        notes(server, copy)


def test_a_member_of_with_password_is_asked_for_it(server: Cluster):
    server.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'", f"GRANT {WITH_PASSWORD} TO guarded")
    psycopg.connect(server.url("postgres", user="guarded", password="right")).close()
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(server.url("postgres", user="guarded", password="wrong"))


def test_a_server_that_is_killed_keeps_its_commits(server: Cluster, database: str):
    write(server, database, 1)
    with psycopg.connect(server.url(database)) as connection:
        server.restart()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert notes(server, database) == [1]


def test_a_frozen_server_answers_when_it_is_thawed(server: Cluster, database: str):
    with psycopg.connect(server.url(database)) as connection, ThreadPoolExecutor(1) as pool:
        server.freeze()
        asked = pool.submit(connection.execute, "SELECT 1")
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.2)
        server.thaw()
        assert asked.result().fetchall() == [(1,)]


def test_a_synchronous_standby_has_what_was_committed_and_takes_over(server: Cluster):
    with Cluster() as primary, Cluster("second", copy_of=primary) as standby:
        database = primary.database()
        primary.execute("CREATE TABLE note (n integer)", f"GRANT ALL ON note TO {OWNER}", database=database)
        primary.wait_for_standby(standby)
        write(primary, database, 1)
        with psycopg.connect(primary.url(database, standby, target_session_attrs="read-write")) as connection:
            primary.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        standby.promote()
        with psycopg.connect(primary.url(database, standby, target_session_attrs="read-write")) as connection:
            connection.execute("INSERT INTO note VALUES (2)")
        primary.follow(standby)
        standby.wait_for_standby(primary)
        standby.kill()
        primary.promote()
        assert notes(primary, database) == [1, 2]


def test_an_asynchronous_standby_that_lags_loses_commits():
    with Cluster() as primary, Cluster("second", copy_of=primary) as standby:
        database = primary.database()
        primary.execute("CREATE TABLE note (n integer)", f"GRANT ALL ON note TO {OWNER}", database=database)
        write(primary, database, 1)
        primary.wait_for_standby(standby, synchronous=False)
        primary.freeze("walsender")
        write(primary, database, 2)
        primary.kill()
        standby.promote()
        assert notes(standby, database) == [1]


def test_a_server_ends_with_its_block():
    with Cluster() as cluster:
        files = cluster.files
        cluster.kill()
        cluster.start()
    assert not files.path.exists()
    assert list(files.processes()) == []


def test_a_server_ends_with_the_process_that_started_it():
    script = "from harness.postgres import Cluster; c = Cluster().__enter__(); print(c.files.path, flush=True); input()"
    command = [sys.executable, "-c", script]
    root = Path(postgres.__file__).parent.parent
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        assert (directory / "data").exists()
        process.kill()
    until(lambda: not directory.exists())


def test_a_setting_that_the_server_refuses_is_told():
    with pytest.raises(RuntimeError, match="invalid value for parameter"), Cluster(max_connections="many"):
        pass


def test_without_programs_the_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgres, "_DEBIAN", Path("/nonexistent"))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NoPostgresError, match="Debian's package postgresql"), Cluster():
        pass
