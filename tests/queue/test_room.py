import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mta.queue.interface import QueueError, QueueFull
from mta.queue.room import RESERVE, free_octets, require_room


def disk_with(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Play a disk of 4 KiB blocks on which the administrator alone may write 9999 more."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=blocks, f_bfree=blocks + 9999, f_frsize=4096))


def test_what_only_the_administrator_may_write_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(monkeypatch, 100)
    assert free_octets(tmp_path) == 100 * 4096


def test_the_reserve_is_left_free_and_who_must_free_space_is_told_where(
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
