"""The writer of a body, and the directory of large bodies."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mta.message.body import FileBody, MemoryBody
from mta.queue.ids import IdSource
from mta.queue.interface import QueueError, QueueFull
from mta.queue.sqlite import bodies
from mta.queue.sqlite.bodies import Bodies

SMALL = 100


@pytest.fixture
def store(tmp_path: Path) -> Bodies:
    return Bodies(tmp_path, reserve=0, small=SMALL)


def new_id():
    return IdSource().new(1e9)


def test_a_small_body_stays_in_memory(store, tmp_path):
    writer = store.writer(new_id())
    writer.write(b"a" * 60)
    writer.write(b"b" * 40)
    assert writer.finish() == MemoryBody(b"a" * 60 + b"b" * 40)
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_grows_large_goes_to_a_file_for_its_owner_only(store, tmp_path):
    id = new_id()
    writer = store.writer(id)
    writer.write(b"a" * 60)
    writer.write(b"b" * 41)
    body = writer.finish()
    assert body == FileBody(tmp_path / f"{id}.part", 101)
    assert body.path.read_bytes() == b"a" * 60 + b"b" * 41
    assert body.path.stat().st_mode & 0o777 == 0o600


def test_an_aborted_body_leaves_no_file(store, tmp_path):
    writer = store.writer(new_id())
    writer.write(b"a" * 200)
    writer.abort()
    assert list(tmp_path.iterdir()) == []


class FullDisk:
    """The operating system's part: a file that fails from some octet on."""

    def __init__(self, room: int, error: int) -> None:
        self.room = room
        self.error = error

    def open(self, descriptor: int, mode: str, buffering: int) -> "FullDisk":
        os.close(descriptor)
        return self

    def write(self, data: bytes) -> None:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(self.error, os.strerror(self.error))

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def close(self) -> None:
        self.write(b"")


@pytest.fixture
def full_disk(monkeypatch):
    def fill(room: int, error: int = errno.ENOSPC) -> None:
        monkeypatch.setattr(bodies.os, "fdopen", FullDisk(room, error).open)

    return fill


def test_a_full_disk_while_the_body_arrives_aborts_it(store, tmp_path, full_disk):
    full_disk(250)
    writer = store.writer(new_id())
    writer.write(b"a" * 200)
    with pytest.raises(QueueFull, match="No space left"):
        writer.write(b"b" * 51)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(QueueError):
        writer.write(b"c")
    writer.abort()


def test_a_disk_that_breaks_while_the_body_arrives_is_no_full_one(store, tmp_path, full_disk):
    full_disk(0, errno.EIO)
    with pytest.raises(QueueError) as caught:
        store.writer(new_id()).write(b"a" * 200)
    assert not isinstance(caught.value, QueueFull)
    assert list(tmp_path.iterdir()) == []


def test_a_body_is_synced_before_its_name_and_its_name_before_the_row(store, tmp_path, monkeypatch):
    id = new_id()
    writer = store.writer(id)
    writer.write(b"a" * 200)
    body = writer.finish()
    synced = []
    monkeypatch.setattr(bodies.os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    placed = store.place(id, body)
    assert synced == [str(tmp_path / f"{id}.part"), str(tmp_path)]
    assert placed == FileBody(tmp_path / id, 200)
    assert placed == store.body(id, 200)
    assert not body.path.exists()


def test_remove_ignores_missing_files(store, tmp_path):
    first, second, third = (IdSource(tag).new(1e9) for tag in range(3))
    (tmp_path / first).write_bytes(b"x")
    (tmp_path / f"{second}.part").write_bytes(b"x")
    store.remove([first, second, third])
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_removes_stray_files_and_returns_the_missing_ones(store, tmp_path):
    kept, missing, stray = (IdSource(tag).new(1e9) for tag in range(3))
    for name in (kept, stray, f"{stray}.part"):
        (tmp_path / name).write_bytes(b"x")
    assert store.sweep({kept, missing}) == (2, (missing,))
    assert [path.name for path in tmp_path.iterdir()] == [kept]


def test_the_reserve_is_kept_free(tmp_path):
    Bodies(tmp_path, reserve=1).require_room()
    with pytest.raises(QueueFull, match="MiB free"):
        Bodies(tmp_path, reserve=1 << 60).require_room()


def test_the_disk_is_asked_again_before_an_eighth_of_the_reserve_is_stored(tmp_path, monkeypatch):
    asked: list[str] = []
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: (asked.append(path), real(path))[1])
    bodies = Bodies(tmp_path, reserve=8000)
    for _ in range(20):
        bodies.require_room(100)
    assert len(asked) == 2


def test_free_pages_are_room_for_a_body_in_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=4096))
    bodies = Bodies(tmp_path, reserve=8000)
    short: list[int] = []
    bodies.short = lambda: short.append(bodies.reusable)
    bodies.space(20_000)
    with pytest.raises(QueueFull):
        bodies.require_room(500, filed=True)
    with pytest.raises(QueueFull):
        bodies.require_room_for(10_000)
    bodies.require_room(500)
    assert short == []
    bodies.require_room(10_500)
    assert short == [9_000]
    with pytest.raises(QueueFull):
        bodies.require_room(2_000)


def test_a_body_that_is_to_be_written_must_leave_the_reserve(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=5, f_frsize=4096))
    bodies = Bodies(tmp_path, reserve=8000)
    bodies.require_room_for(12_000)
    with pytest.raises(QueueFull):
        bodies.require_room_for(13_000)
