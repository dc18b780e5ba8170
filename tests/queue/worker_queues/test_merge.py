"""The merge of queues of workers that no longer run, and the homes that it refuses."""

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME, Lock, homes, lock_relay, worker_home
from mta.queue.interface import Action, Ledger, QueueError, QueueFull
from mta.queue.sqlite.queue import open_queue
from mta.queue.sqlite.schema import connect
from mta.queue.worker_queues import copy
from mta.queue.worker_queues.merge import Merged, merge
from mta.smtp.address import parse_address
from tests.queue.homes import KINDS, Home, fill, merged_picture, picture
from tests.queue.messages import NOW

EVERY_KIND = [(kind, large) for kind in KINDS for large in (False, True)]
THEN = NOW + 60


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QUEUE_DIR of a relay that had three workers, with mail in every state."""
    directory = tmp_path_factory.mktemp("filled")
    for number in (1, 2, 3):
        fill(worker_home(directory, number), EVERY_KIND)
    return directory


@pytest.fixture
def spool(filled: Path, tmp_path: Path) -> Path:
    """Return a copy of it for one test."""
    return shutil.copytree(filled, tmp_path / "spool")


def contents(directory: Path) -> dict[Path, bytes]:
    """Return each file below a directory with its octets, but for the log's index and the locks."""
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "lock"))
    }


def refused(directory: Path, workers: int = 1, kind: type[QueueError] = QueueError) -> str:
    """Merge, see it refused and nothing touched, and return what an operator reads."""
    before = contents(directory)
    with pytest.raises(kind) as caught:
        merge(directory, workers, THEN)
    assert contents(directory) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_queues_of_surplus_workers_are_merged(spool):
    expected = merged_picture(spool, THEN)
    merged = merge(spool, 1, THEN)
    assert picture(spool) == expected
    assert {path.name for path in spool.iterdir()} == {"bodies", FILE_NAME, "lock"}
    assert [(one.worker, one.waiting + one.finished) for one in merged] == [(2, 14), (3, 14)]


def test_a_merged_queue_is_told_in_a_line(spool):
    (merged,) = merge(spool, 2, THEN)
    assert merged == Merged(3, waiting=10, finished=4)
    assert str(merged) == "merged the messages of worker 3, which no longer runs: 10 waiting, 4 in the history"


def test_only_workers_above_the_number_are_merged(spool):
    ids = picture(spool, worker_home(spool, 3)).keys()
    untouched = contents(spool / "worker-2")
    merge(spool, 2, THEN)
    assert contents(spool / "worker-2") == untouched
    assert picture(spool).keys() == ids
    assert homes(spool) == [spool, spool / "worker-2"]


def test_without_surplus_workers_no_file_is_changed(tmp_path, spool):
    before = contents(spool)
    assert merge(spool, 3, THEN) == []
    assert merge(spool, 30, THEN) == []
    assert contents(spool) == before
    assert merge(tmp_path / "new", 1, THEN) == []
    assert merge(tmp_path / "new", 1, THEN) == []
    assert not (tmp_path / "new" / FILE_NAME).exists()


def test_a_queue_is_merged_into_a_directory_that_has_none(tmp_path):
    fill(tmp_path / "worker-2", EVERY_KIND)
    expected = merged_picture(tmp_path, THEN)
    merge(tmp_path, 1, THEN)
    assert picture(tmp_path) == expected


def test_the_relay_that_starts_next_has_it_all(spool):
    with lock_relay(spool):
        merge(spool, 1, THEN)
        queue = open_queue(spool, run=run_inline, now=THEN)
    assert queue.recovery.strays == 2  # what was arriving in its own home
    assert queue.recovery.missing == ()
    queue.close()


def test_a_queue_that_is_opened_leaves_the_homes_of_other_workers_alone(spool):
    before = contents(spool / "worker-2")
    open_queue(spool, run=run_inline, now=THEN, retry_all=True).close()
    assert contents(spool / "worker-2") == before


def test_foreign_files_in_a_home_stay_with_its_folder(spool):
    for name in ("notes", "bodies/notes", "bodies/0123", "queue.sqlite.old", "queue.sqlite.v1.bak.gz"):
        (spool / "worker-3" / name).write_text("mine")
    assert len(merge(spool, 2, THEN)) == 1
    left = {str(path.relative_to(spool / "worker-3")) for path in (spool / "worker-3").rglob("*")}
    assert left == {"notes", "bodies", "bodies/notes", "bodies/0123", "queue.sqlite.old", "queue.sqlite.v1.bak.gz"}
    assert merge(spool, 2, THEN) == []


def test_all_that_a_relay_makes_goes_with_its_home(spool):
    home = spool / "worker-3"
    for name in ("queue.sqlite.v1.bak", "queue.sqlite.v1.bak.new", "queue.sqlite.new", "queue.sqlite.new-journal"):
        (home / name).touch()
    (home / "control").symlink_to("nowhere")
    merge(spool, 2, THEN)
    assert not home.exists()


def test_a_home_that_was_never_finished_goes_without_a_word(tmp_path):
    fill(tmp_path, [("waiting", False)])
    (tmp_path / "worker-2" / "bodies").mkdir(parents=True)
    for name in ("lock", "queue.sqlite.new", "queue.sqlite-wal", "bodies/0gqw5z6cn4j0y.part"):
        (tmp_path / "worker-2" / name).touch()
    assert merge(tmp_path, 1, THEN) == []
    assert not (tmp_path / "worker-2").exists()


def test_a_worker_that_still_runs_is_named(spool):
    with Lock(spool / "worker-3"):
        told = refused(spool, 2)
    assert told.startswith(f"another smtprelay (process {os.getpid()}) uses {spool}/worker-3:")
    with Lock(spool):
        assert f"uses {spool}:" in refused(spool, 2)


def test_a_damaged_queue_is_named_and_left_unchanged(spool):
    path = spool / "worker-3" / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + os.urandom(8192) + whole[16384:])
    assert f"{path} is damaged" in refused(spool, 2)
    path.write_bytes(b"nonsense")
    assert f"{path} is not a queue file" in refused(spool, 2)


def test_a_damaged_queue_of_the_relay_itself_is_named_and_left_unchanged(spool):
    (spool / FILE_NAME).write_bytes((spool / FILE_NAME).read_bytes()[:-4096])
    assert f"{spool}/{FILE_NAME} is damaged" in refused(spool, 3)


def test_a_home_without_a_folder_for_bodies_is_merged(tmp_path):
    """Git, and many a backup, keep no empty folder."""
    fill(tmp_path / "worker-2", [("waiting", False)])
    expected = merged_picture(tmp_path, THEN)
    (tmp_path / "worker-2" / "bodies").rmdir()
    merge(tmp_path, 1, THEN)
    assert picture(tmp_path) == expected


def test_a_newer_queue_is_named_and_left_unchanged(spool):
    path = spool / "worker-3" / FILE_NAME
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("UPDATE meta SET value = 99")
    assert f"{path} has version 99" in refused(spool, 2)


def test_bodies_without_their_queue_are_named_and_left_unchanged(spool):
    (spool / "worker-3" / FILE_NAME).unlink()
    (spool / "worker-3" / "lock").unlink()
    assert f"{spool}/worker-3/{FILE_NAME} is missing but parts of its queue are there" in refused(spool, 2)


def made_older(home: Path) -> None:
    with closing(connect(home / FILE_NAME)) as connection:
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


def forget_since_when(home: Path) -> None:
    """Make the rows of a home as an older version keeps them."""
    with closing(connect(home / FILE_NAME)) as connection:
        connection.execute("UPDATE message SET held_since = NULL, leased_since = NULL, login = ''")
        connection.execute("UPDATE message SET tls_demand = NULL")
        connection.execute("UPDATE message SET message_id = '', subject = '', author = '', tls = '', report_of = NULL")
        connection.execute("DELETE FROM attempt")


def test_an_older_queue_is_upgraded_on_the_way(spool):
    forget_since_when(spool)
    forget_since_when(spool / "worker-2")
    expected = merged_picture(spool, THEN)
    made_older(spool)
    made_older(spool / "worker-2")
    merge(spool, 1, THEN)
    assert picture(spool) == expected
    assert not (spool / "worker-2").exists()


def disk_with(monkeypatch, octets: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=octets, f_blocks=1 << 40, f_frsize=1))


def test_the_error_of_a_full_disk_names_the_octets_that_a_merge_takes(spool, monkeypatch):
    disk_with(monkeypatch, 10 << 20)
    told = refused(spool, 2, QueueFull)
    assert told == (
        f"merging {spool}/worker-3 takes 11 MiB, but only 10 MiB are free on the queue's disk: "
        "free space under QUEUE_DIR, or start with WORKERS=3"
    )
    disk_with(monkeypatch, 11 << 20)
    merge(spool, 2, THEN)


def test_pages_that_are_free_in_the_file_are_room_too(tmp_path, monkeypatch):
    fill(tmp_path / "worker-2", [("waiting", False)])
    with closing(connect(tmp_path / "worker-2" / FILE_NAME)) as connection:
        connection.execute("UPDATE body SET data = zeroblob(1048576)")
    fill(tmp_path, [("waiting", False)])
    disk_with(monkeypatch, 12 << 20)
    assert "takes 13 MiB" in refused(tmp_path, 1, QueueFull)
    with closing(connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("UPDATE body SET data = zeroblob(1048576)")
        connection.execute("UPDATE body SET data = x''")
    merge(tmp_path, 1, THEN)


def test_a_disk_that_fills_up_meanwhile_is_told_and_the_next_start_goes_on(spool):
    expected = merged_picture(spool, THEN)

    def fill_up(step: str) -> None:
        if step == "copy bodies":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(QueueFull, match="no room on the queue's disk"):
        merge(spool, 2, THEN, fill_up)
    merge(spool, 1, THEN)
    assert picture(spool) == expected


def test_bodies_come_from_another_file_system_too(spool, monkeypatch):
    expected = merged_picture(spool, THEN)
    rename = Path.rename

    def within_one(path: Path, target: Path) -> Path:
        if path.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", within_one)
    merge(spool, 1, THEN)
    assert picture(spool) == expected
    assert {path.stat().st_mode & 0o777 for path in (spool / "bodies").iterdir()} == {0o600}


def test_moves_and_removals_are_synced_before_the_next_commit(spool, monkeypatch):
    events: list[str] = []
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    merge(spool, 2, THEN, events.append)
    home = f"{spool}/worker-3"
    moved = events.index("sync directories")
    assert events[moved + 1 : moved + 4] == [f"{spool}/bodies", f"{home}/bodies", "copy messages"]
    gone = events.index("remove bodies")
    assert events[gone + 1 :] == [f"{home}/bodies", home, "remove queue", home, str(spool), "clear mark"]


def test_an_id_of_two_messages_is_named_and_left_unchanged(spool):
    ids = [next(iter(picture(home))) for home in (spool, spool / "worker-3")]
    with closing(sqlite3.connect(spool / "worker-3" / FILE_NAME)) as connection:
        (number,) = connection.execute("SELECT min(id) FROM message").fetchone()
    with closing(connect(spool / FILE_NAME)) as connection:
        connection.executescript(
            f"""
            PRAGMA foreign_keys = OFF;
            UPDATE recipient SET message_id = {number} WHERE message_id = (SELECT min(id) FROM message);
            UPDATE body SET message_id = {number} WHERE message_id = (SELECT min(id) FROM message);
            UPDATE message SET id = {number}, size = 5 WHERE id = (SELECT min(id) FROM message);
            """
        )
    assert f"{ids[1]} is another message there than in {spool}; start with WORKERS=3" in refused(spool, 2)


def test_a_message_that_came_before_keeps_its_state(spool):
    """An operator put back the home of a worker from a backup after it had been merged and its mail delivered."""
    backup = contents(spool / "worker-3")
    merge(spool, 2, THEN)
    queue = open_queue(spool, run=run_inline, now=THEN)
    queue.apply(Action.REMOVE, None, 5)
    queue.close()
    for name, octets in backup.items():
        (spool / "worker-3" / name).parent.mkdir(parents=True, exist_ok=True)
        (spool / "worker-3" / name).write_bytes(octets)
    queue = open_queue(spool, run=run_inline, now=THEN)
    queue.close()
    before = picture(spool)
    assert merge(spool, 2, THEN) == [Merged(3, 0, 0)]
    queue = open_queue(spool, run=run_inline, now=THEN)
    queue.close()
    assert picture(spool) == before


def test_a_batch_is_bounded_in_messages_and_in_octets(tmp_path, monkeypatch):
    fill(tmp_path / "worker-2", [("waiting", False)] * 7)
    batches: list[int] = []

    def look(step: str) -> None:
        if step == "commit":
            with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
                batches.append(*connection.execute("SELECT count(*) FROM message").fetchone())

    monkeypatch.setattr(copy, "BATCH_MESSAGES", 3)
    merge(tmp_path, 1, THEN, look)
    assert batches == [0, 3, 6]
    fill(tmp_path / "worker-2", [("tried", False)] * 2)
    batches.clear()
    monkeypatch.setattr(copy, "BATCH_OCTETS", 500)
    merge(tmp_path, 1, THEN, look)
    assert batches == [7, 8]


class CutShort(Exception):
    pass


def cut_at(name: str):
    def step(at: str) -> None:
        if at == name:
            raise CutShort

    return step


def test_a_queue_that_is_merged_in_part_is_not_opened(spool):
    with pytest.raises(CutShort):
        merge(spool, 2, THEN, cut_at("copy messages"))
    with pytest.raises(QueueError, match="worker 3 is merged only in part"):
        open_queue(spool, run=run_inline, now=THEN)
    (merged,) = merge(spool, 9, THEN)
    assert str(merged).startswith("finished merging the messages of worker 3, which no longer runs: 10 more waiting")
    open_queue(spool, run=run_inline, now=THEN).close()


def test_a_home_that_went_in_the_middle_of_its_merge_is_asked_for(spool):
    expected = merged_picture(spool, THEN)
    with pytest.raises(CutShort):
        merge(spool, 2, THEN, cut_at("copy messages"))
    (spool / "worker-3").rename(spool / "elsewhere")
    told = refused(spool, 3)
    assert told == f"{spool}/worker-3 is merged only in part and its queue is gone: put it back"
    assert not (spool / "worker-3").exists()
    (spool / "elsewhere").rename(spool / "worker-3")
    merge(spool, 1, THEN)
    assert picture(spool) == expected


def test_the_ledger_and_the_marks_are_merged_with_counts_of_dropped_history(tmp_path):
    home = Home(tmp_path / "worker-2")
    home.delivered(large=False)
    home.tried(large=False)
    home.queue.forget(THEN)
    claim = home.claimed("a@one.test", "b@two.test")
    home.queue.note_in_flight(claim.id, [1])
    home.queue._connection.close()
    home.queue._lock.release()
    fill(tmp_path, [("delivered", False)])
    merge(tmp_path, 1, THEN)
    queue = open_queue(tmp_path, run=run_inline, now=THEN)
    assert queue.recovery.possible_duplicates == ((claim.id, parse_address("b@two.test")),)
    ledgers = []
    queue.summary().addCallback(lambda summary: ledgers.append(summary.ledger))
    assert ledgers == [Ledger(accepted=7, delivered=3, failed=1, removed=0, waiting=3)]
    queue.close()
