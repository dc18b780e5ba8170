"""The room for mail, and the reserve."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mta.queue.disk.space import RESERVE, assess_space, free_octets, require_room
from mta.queue.interface import QueueError, QueueFull


def disk_with(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Play a disk of 4 KiB blocks on which the administrator alone may write 9999 more."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=blocks, f_bfree=blocks + 9999, f_frsize=4096))


def test_blocks_reserved_for_root_are_not_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(monkeypatch, 100)
    assert free_octets(tmp_path) == 100 * 4096


def test_the_reserve_is_kept_free_and_the_error_says_where_to_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_with(monkeypatch, RESERVE // 4096)
    require_room(tmp_path)
    disk_with(monkeypatch, RESERVE // 4096 - 1)
    with pytest.raises(QueueFull, match="only 9 MiB free on the queue's disk: free space under QUEUE_DIR"):
        require_room(tmp_path)


def test_a_directory_that_is_gone_is_an_error_of_the_queue(tmp_path: Path) -> None:
    with pytest.raises(QueueError) as refused:
        require_room(tmp_path / "none")
    assert not isinstance(refused.value, QueueFull)


def test_free_pages_of_the_queue_file_are_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(monkeypatch, 0)
    require_room(tmp_path, reusable=RESERVE)
    with pytest.raises(QueueFull, match="only 9 MiB free"):
        require_room(tmp_path, reusable=RESERVE - 1)


@pytest.mark.parametrize(
    ("free", "reusable", "short", "full", "no_files"),
    [
        (2 * RESERVE, 0, False, False, False),
        (RESERVE, RESERVE // 4, False, False, False),
        (RESERVE, 0, True, False, False),
        (RESERVE - 1, 0, True, True, False),
        (0, 2 * RESERVE, False, False, True),
    ],
)
def test_room_is_short_before_the_queue_is_full(
    free: int, reusable: int, short: bool, full: bool, no_files: bool
) -> None:
    space = assess_space(free, reusable)
    assert (space.short, space.full, space.no_files) == (short, full, no_files)
