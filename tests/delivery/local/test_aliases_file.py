"""Tests how changes of the aliases file are followed."""

import os
from pathlib import Path

import pytest

from mta.delivery.local.aliases import MAX_OCTETS, Aliases, AliasesFile

NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "aliases"
    path.write_text("root: bob\n")
    return path


def replace(path: Path, text: str) -> None:
    """Replace the file by another one, as editors do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_the_file_is_read_once_while_it_does_not_change(path: Path) -> None:
    file = AliasesFile(path, lambda _: None)
    assert list(file.current().entries) == ["root"]
    assert file.current() is file.current()


def test_a_change_is_seen_at_the_next_look(path: Path) -> None:
    file = AliasesFile(path, lambda _: None)
    replace(path, "info: eve\n")
    assert list(file.current().entries) == ["info"]


def test_errors_in_the_file_are_reported_once_for_each_change(path: Path) -> None:
    path.write_text("root: |rm\n")
    told: list[str] = []
    file = AliasesFile(path, told.append)
    file.current()
    assert told == [f"aliases file {path}, line 1: root is ignored: programs are not run; deliver to a mailbox instead"]
    replace(path, "nonsense\n")
    file.current()
    assert len(told) == 2


def test_a_missing_file_leaves_the_aliases_in_force_and_is_reported_once(path: Path) -> None:
    told: list[str] = []
    file = AliasesFile(path, told.append)
    path.unlink()
    assert list(file.current().entries) == ["root"]
    file.current()
    assert told == [f"cannot read the aliases file {path}: No such file or directory; going on with what it said"]
    replace(path, "info: eve\n")
    assert list(file.current().entries) == ["info"]
    path.unlink()
    file.current()
    assert len(told) == 2


@NOT_ROOT
def test_a_file_without_read_permission_is_reported(path: Path) -> None:
    path.chmod(0)
    told: list[str] = []
    assert AliasesFile(path, told.append).current() == Aliases()
    assert "Permission denied" in told[0]


def test_a_file_that_is_too_large_is_not_read(path: Path) -> None:
    told: list[str] = []
    file = AliasesFile(path, told.append)
    replace(path, "#" * (MAX_OCTETS + 1))
    assert list(file.current().entries) == ["root"]
    file.current()
    assert told == [f"the aliases file {path} has more than 8 MiB and is not read"]


def test_octets_that_are_not_text_drop_only_their_line(path: Path) -> None:
    path.write_bytes(b"\xff\xfe: x\nroot: bob\n")
    assert "root" in AliasesFile(path, lambda _: None).current().entries


def test_a_reload_reads_a_change_that_the_stamp_does_not_show(path: Path) -> None:
    file = AliasesFile(path, lambda _: None)
    status = path.stat()
    path.write_text("info: eve\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert list(file.current().entries) == ["root"]
    file.reload()
    assert list(file.current().entries) == ["info"]
