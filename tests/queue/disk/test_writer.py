"""The writer of a body: small ones stay in memory, large ones go to a file."""

import errno
import os
from pathlib import Path

import pytest

from mta.message.body import FileBody, MemoryBody
from mta.queue.disk import writer as module
from mta.queue.disk.writer import Writer
from mta.queue.interface import QueueError, QueueFull

SMALL = 100
NAME = "0000000000009.part"


def a_writer(directory: Path) -> Writer:
    return Writer(directory, NAME, SMALL)


def test_a_small_body_stays_in_memory(tmp_path):
    writer = a_writer(tmp_path)
    writer.write(b"a" * 60)
    writer.write(b"b" * 40)
    assert writer.finish() == MemoryBody(b"a" * 60 + b"b" * 40)
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_grows_large_goes_to_a_file_for_its_owner_only(tmp_path):
    writer = a_writer(tmp_path)
    writer.write(b"a" * 60)
    writer.write(b"b" * 41)
    body = writer.finish()
    assert body == FileBody(tmp_path / NAME, 101)
    assert body.path.read_bytes() == b"a" * 60 + b"b" * 41
    assert body.path.stat().st_mode & 0o777 == 0o600


def test_an_aborted_body_leaves_no_file(tmp_path):
    writer = a_writer(tmp_path)
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
        monkeypatch.setattr(module.os, "fdopen", FullDisk(room, error).open)

    return fill


def test_a_full_disk_while_the_body_arrives_aborts_it(tmp_path, full_disk):
    full_disk(250)
    writer = a_writer(tmp_path)
    writer.write(b"a" * 200)
    with pytest.raises(QueueFull, match="No space left"):
        writer.write(b"b" * 51)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(QueueError):
        writer.write(b"c")
    writer.abort()


def test_a_disk_that_breaks_while_the_body_arrives_is_no_full_one(tmp_path, full_disk):
    full_disk(0, errno.EIO)
    with pytest.raises(QueueError) as caught:
        a_writer(tmp_path).write(b"a" * 200)
    assert not isinstance(caught.value, QueueFull)
    assert list(tmp_path.iterdir()) == []
