"""Opening a queue file: its creation, the steps from older versions, and the refusal of newer and damaged files."""

import importlib.resources
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mta.blocking import run_inline
from mta.queue.interface import QueueError
from mta.queue.sql.statements import read_statements
from mta.queue.sqlite import schema
from mta.queue.sqlite.queue import open_queue
from mta.queue.sqlite.schema import Scripts, connect, open_file
from mta.queue.sqlite.statements import SHIPPED, Statements
from tests.queue.messages import NOW, mail

# The schema as it might have been before version 1: no history, no remembered delay.
BEFORE = """
DROP TABLE ledger;
DROP TABLE attempt;
DROP INDEX report;
DROP INDEX failed;
DROP INDEX history;
ALTER TABLE message DROP COLUMN delay_reported;
ALTER TABLE message DROP COLUMN held_since;
ALTER TABLE message DROP COLUMN leased_since;
ALTER TABLE message DROP COLUMN login;
ALTER TABLE message DROP COLUMN message_id;
ALTER TABLE message DROP COLUMN subject;
ALTER TABLE message DROP COLUMN author;
ALTER TABLE message DROP COLUMN tls;
ALTER TABLE message DROP COLUMN report_of;
ALTER TABLE message DROP COLUMN tls_demand;
ALTER TABLE recipient DROP COLUMN signed_by;
ALTER TABLE recipient DROP COLUMN way;
PRAGMA user_version = 0;
"""
FIRST_STEP = """
BEGIN;
ALTER TABLE message ADD COLUMN delay_reported INTEGER NOT NULL DEFAULT 0 CHECK (delay_reported IN (0, 1));
CREATE INDEX history ON message (finished) WHERE finished IS NOT NULL;
PRAGMA user_version = 1;
COMMIT;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite"


@pytest.fixture
def older(path: Path) -> Path:
    """A queue file of version 0."""
    open_file(path, create=True, upgrade=True).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(BEFORE)
    connection.close()
    return path


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    """The shipped SQL and a step to it from version 0."""
    folder = tmp_path / "sql"
    with importlib.resources.as_file(SHIPPED) as shipped:
        shutil.copytree(shipped, folder)
    (folder / "migrations").mkdir(exist_ok=True)
    (folder / "migrations" / "0001_remember_delays.sql").write_text(FIRST_STEP)
    return Scripts(folder)


def shape(connection: sqlite3.Connection) -> dict[str, object]:
    """Everything about a file but the text its tables were made with and the order of their columns."""
    tables = [
        name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    ]
    found: dict[str, object] = {
        name: (
            {column[1:] for column in connection.execute(f"PRAGMA table_xinfo({name})")},
            connection.execute(f"PRAGMA foreign_key_list({name})").fetchall(),
        )
        for name in tables
    }
    found["indices"] = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' ORDER BY name").fetchall()
    found["lists"] = connection.execute("SELECT name, wr, strict FROM pragma_table_list ORDER BY name").fetchall()
    found["meta"] = connection.execute("SELECT * FROM meta ORDER BY name").fetchall()
    found["versions"] = [
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id", "page_size")
    ]
    return found


def refused(path: Path, **options: object) -> str:
    """Open, see it refused without a touch, and return what an operator reads."""
    before = path.read_bytes()
    names = set(path.parent.iterdir())
    with pytest.raises(QueueError) as caught:
        open_file(path, **{"create": True, "upgrade": True} | options)
    assert path.read_bytes() == before
    assert set(path.parent.iterdir()) == names
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_new_file_is_for_its_owner_only_and_syncs_every_commit(path):
    connection = open_file(path, create=True, upgrade=True)
    assert path.stat().st_mode & 0o777 == 0o600
    names = ("journal_mode", "synchronous", "secure_delete")
    pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 0}
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert connection.execute("PRAGMA page_size").fetchone() == (schema.PAGE_SIZE,)
    connection.execute("CREATE TABLE t (x)")
    assert Path(f"{path}-wal").stat().st_mode & 0o777 == 0o600
    connection.close()


def test_a_file_opened_again_is_as_it_was(path):
    connection = open_file(path, create=True, upgrade=True)
    fresh = shape(connection)
    connection.close()
    connection = open_file(path, create=False, upgrade=False)
    assert shape(connection) == fresh
    connection.close()


def test_an_upgraded_file_equals_a_fresh_one_and_its_old_self_is_kept(older, scripts, tmp_path):
    old = older.read_bytes()
    upgraded = open_file(older, create=True, upgrade=True, scripts=scripts)
    fresh = open_file(tmp_path / "fresh.sqlite", create=True, upgrade=True, scripts=scripts)
    assert shape(upgraded) == shape(fresh)
    upgraded.close()
    fresh.close()
    backup = older.with_name("queue.sqlite.v0.bak")
    assert backup.stat().st_mode & 0o777 == 0o600
    kept = sqlite3.connect(backup)
    assert kept.execute("PRAGMA user_version").fetchone() == (0,)
    kept.close()
    assert len(backup.read_bytes()) == len(old)


def test_the_shipped_steps_lead_one_by_one_to_the_shipped_version():
    folder = SHIPPED / "migrations"
    names = sorted(entry.name for entry in (folder.iterdir() if folder.is_dir() else ()) if entry.name.endswith(".sql"))
    assert [int(name[:4]) for name in names] == list(range(2, Scripts().version + 1))


def test_a_file_of_version_1_becomes_one_that_no_program_of_then_opens(path):
    with closing(open_file(path, create=True, upgrade=True)) as connection:
        fresh = shape(connection)
        connection.execute("UPDATE meta SET value = 1")
        connection.execute("DROP TABLE ledger")
        connection.execute("ALTER TABLE recipient DROP COLUMN way")
        connection.execute("DROP TABLE attempt")
        connection.execute("DROP INDEX report")
        connection.execute("DROP INDEX failed")
        for column in ("message_id", "subject", "author", "tls", "report_of", "tls_demand"):
            connection.execute(f"ALTER TABLE message DROP COLUMN {column}")
        connection.execute("ALTER TABLE message DROP COLUMN held_since")
        connection.execute("ALTER TABLE message DROP COLUMN leased_since")
        connection.execute("ALTER TABLE message DROP COLUMN login")
        connection.execute("ALTER TABLE recipient DROP COLUMN signed_by")
        connection.execute("PRAGMA user_version = 1")
    with closing(open_file(path, create=True, upgrade=True)) as connection:
        assert shape(connection) == fresh
        assert fresh["meta"] == [("oldest_compatible", 3)]


def test_a_message_of_version_4_has_no_login_afterwards(path):
    (path.parent / "bodies").mkdir()
    queue = open_queue(path.parent, run=run_inline, now=NOW)
    old = mail()
    queue.add(old, NOW)
    queue.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE recipient DROP COLUMN way")
        connection.execute("DROP TABLE attempt")
        connection.execute("DROP INDEX report")
        connection.execute("DROP INDEX failed")
        for column in ("login", "message_id", "subject", "author", "tls", "report_of", "tls_demand"):
            connection.execute(f"ALTER TABLE message DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 4")
    queue = open_queue(path.parent, run=run_inline, now=NOW)
    claims = []
    queue.claim(NOW, 1, 60.0).addCallback(claims.extend)
    assert [(claim.id, claim.envelope.origin.login) for claim in claims] == [(old.id, "")]
    queue.close()


def test_an_older_file_is_unchanged_without_leave_to_upgrade(older, scripts):
    assert "start the relay once to upgrade it" in refused_softly(older, scripts)


def refused_softly(path: Path, scripts: Scripts) -> str:
    with pytest.raises(QueueError) as caught:
        open_file(path, create=False, upgrade=False, scripts=scripts)
    return str(caught.value)


def test_a_step_that_is_missing_is_named(older):
    with pytest.raises(QueueError, match="version 0 to 1"):
        open_file(older, create=True, upgrade=True)


def test_a_step_that_fails_leaves_the_file_at_its_version(older, scripts):
    step = scripts.directory / "migrations" / "0001_remember_delays.sql"
    step.write_text("BEGIN; CREATE TABLE half (x); SELECT nonsense FROM nowhere; PRAGMA user_version = 1; COMMIT;")
    with pytest.raises(QueueError):
        open_file(older, create=True, upgrade=True, scripts=scripts)
    connection = sqlite3.connect(older)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
    connection.close()


def made_newer(path: Path, oldest_compatible: int) -> None:
    connection = open_file(path, create=True, upgrade=True)
    connection.execute("PRAGMA user_version = 99")
    connection.execute("UPDATE meta SET value = ?", (oldest_compatible,))
    connection.close()


def test_a_newer_file_is_refused(path):
    made_newer(path, oldest_compatible=Scripts().version + 1)
    told = refused(path)
    assert "version 99" in told
    assert "install the newer again" in told


def test_a_newer_file_that_says_it_is_compatible_is_opened(path):
    made_newer(path, oldest_compatible=Scripts().version)
    open_file(path, create=True, upgrade=True).close()


def test_a_file_that_is_no_queue_is_refused(path):
    path.write_bytes(b"")
    assert "is not a queue file" in refused(path)
    path.write_bytes(b"Dear diary" * 100)
    assert "is not a queue file" in refused(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    assert "is not a queue file" in refused(path)


def filled(path: Path) -> bytes:
    open_file(path, create=True, upgrade=True).close()
    (path.parent / "bodies").mkdir()
    queue = open_queue(path.parent, run=run_inline, now=NOW)
    for _ in range(50):
        queue.add(mail(), NOW)
    queue.close()
    return path.read_bytes()


def test_a_damaged_file_is_refused(path):
    whole = filled(path)
    path.write_bytes(whole[:8192] + os.urandom(8192) + whole[16384:])
    assert "is damaged" in refused(path)


def test_a_truncated_file_is_refused(path):
    path.write_bytes(filled(path)[:-4096])
    assert "is damaged" in refused(path)


def test_a_large_file_is_not_read_whole_but_its_length_is_checked(path, monkeypatch):
    monkeypatch.setattr(schema, "CHECKED_OCTETS", 4096)
    whole = filled(path)
    open_file(path, create=True, upgrade=True).close()
    path.write_bytes(whole[:-4096])
    assert "is damaged" in refused(path)


def test_a_missing_file_beside_its_log_or_its_bodies_is_not_replaced(path):
    log = path.with_name("queue.sqlite-wal")
    log.write_bytes(b"x")
    with pytest.raises(QueueError, match="is missing but parts of its queue are there"):
        open_file(path, create=True, upgrade=True)
    log.unlink()
    (path.parent / "bodies").mkdir()
    (path.parent / "bodies" / "abc.part").write_bytes(b"x")
    (path.parent / "bodies" / "abc").write_bytes(b"x")
    with pytest.raises(QueueError, match="is missing but parts of its queue are there"):
        open_file(path, create=True, upgrade=True)
    assert not path.exists()


def test_a_missing_file_is_not_created_by_a_reader(path):
    with pytest.raises(QueueError, match="check QUEUE_DIR"):
        open_file(path, create=False, upgrade=False)
    assert list(path.parent.iterdir()) == []


def test_a_creation_that_was_cut_short_is_done_again(path):
    path.with_name("queue.sqlite.new").write_bytes(b"half")
    open_file(path, create=True, upgrade=True).close()
    assert not path.with_name("queue.sqlite.new").exists()


def test_a_file_that_another_program_keeps_to_itself_is_locked_and_not_damaged(path, monkeypatch):
    filled(path)
    monkeypatch.setattr(schema, "READER_PATIENCE", 0.01)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(QueueError, match="the queue file is locked by another program"):
        open_file(path, create=False, upgrade=False)
    connection.close()


def test_a_file_that_was_removed_meanwhile_is_not_made_again(path):
    with pytest.raises(sqlite3.OperationalError):
        connect(path)
    assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        "leased = 1, token = 0",
        "due = NULL",
        "finished = 1",
        "held = 2",
        "sender_local = NULL",
        "due = NULL, finished = 1, leased = 1",
        "due = NULL, finished = 1, held = 1",
        "body_type = 'BINARYMIME'",
        "size = 'big'",
    ],
)
def test_a_message_cannot_be_in_a_state_that_makes_no_sense(path, change):
    filled(path)
    connection = connect(path)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE message SET {change}")
    connection.close()


@pytest.mark.parametrize(
    "change", ["status = 'lost'", "status = 'failed'", "due = NULL", "finished = 1", "message_id = 5"]
)
def test_a_recipient_cannot_be_in_a_state_that_makes_no_sense(path, change):
    filled(path)
    connection = connect(path)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE recipient SET {change}")
    connection.close()


def test_statements_must_have_the_names_that_the_code_knows():
    text = (SHIPPED / "queries.sql").read_text()
    with pytest.raises(ValueError, match="hold"):
        read_statements(Statements, text.replace("-- name: hold\n", ""))
    with pytest.raises(ValueError, match="surplus"):
        read_statements(Statements, text + "-- name: surplus\nSELECT 1;\n")
    with pytest.raises(ValueError, match="a name twice"):
        read_statements(Statements, text + "-- name: hold\nSELECT 1;\n")
