"""The directory of large bodies."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mta.message.body import FileBody
from mta.queue.ids import IdSource
from mta.queue.interface import QueueFull
from mta.queue.sqlite.bodies import Bodies

SMALL = 100


@pytest.fixture
def store(tmp_path: Path) -> Bodies:
    return Bodies(tmp_path, reserve=0, small=SMALL)


def new_id():
    return IdSource().new(1e9)


def test_a_body_is_synced_before_its_name_and_its_name_before_the_row(store, tmp_path, monkeypatch):
    id = new_id()
    writer = store.writer(id)
    writer.write(b"a" * 200)
    body = writer.finish()
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
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
