"""The stamp of a file: every usual way to change a file changes it, and an unchanged file is not read again."""

import os
from pathlib import Path

import pytest

from mta.file_stamp import FileStamp, read_if_changed

EARLIER = 1_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("first")
    os.utime(path, ns=(EARLIER, EARLIER))
    return path


def rewritten(path: Path) -> None:
    path.write_text("other")


def lengthened(path: Path) -> None:
    path.write_text("first and more")
    os.utime(path, ns=(EARLIER, EARLIER))


def replaced(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text("other")
    os.utime(new, ns=(EARLIER, EARLIER))
    new.replace(path)


def linked(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("other")
    os.utime(target, ns=(EARLIER, EARLIER))
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("change", [rewritten, lengthened, replaced, linked])
def test_a_changed_file_is_read_again(file: Path, change) -> None:
    first = read_if_changed(file, None, 100)
    assert first is not None
    assert first[0] == b"first"
    assert read_if_changed(file, first[1], 100) is None
    change(file)
    second = read_if_changed(file, first[1], 100)
    assert second == (file.read_bytes(), FileStamp.of(file))


def test_no_more_than_the_limit_is_read(file: Path) -> None:
    assert read_if_changed(file, None, 3) == (b"fir", FileStamp.of(file))


def test_a_directory_has_a_stamp_that_changes_with_its_entries(tmp_path: Path) -> None:
    os.utime(tmp_path, ns=(EARLIER, EARLIER))
    before = FileStamp.of(tmp_path)
    (tmp_path / "entry").touch()
    assert FileStamp.of(tmp_path) != before


def test_a_missing_file_raises_the_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_if_changed(tmp_path / "missing", None, 100)
