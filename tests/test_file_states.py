"""The states of files: what counts as a change, and when a change is over."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.waiting import until
from mta.file_states import Changes, FileRecord, FileState, FileStates

NOW = 1_795_348_800.0


def seen(**states: int) -> FileStates:
    """Return states of files that cannot be looked at, which need no files."""
    return FileStates(states)


def test_a_file_that_stays_as_it_is_has_equal_states(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    states = FileStates.of([tmp_path / "a", tmp_path / "b", tmp_path])
    assert states.look() == states
    assert states.states[str(tmp_path / "b")] == errno.ENOENT


def rename_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("a")
    other.rename(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("ab"),
        lambda path: path.write_text("b"),
        lambda path: os.utime(path, ns=(0, 0)),
        lambda path: (path.write_text("c"), os.utime(path, ns=(0, 0))),
        lambda path: path.chmod(0o600),
        rename_another,
        lambda path: path.unlink(missing_ok=True),
    ],
    ids=["longer", "same-length", "time", "same-time", "permissions", "another-file", "removed"],
)
def test_each_kind_of_change_is_seen(tmp_path: Path, change: Callable[[Path], object]) -> None:
    path = tmp_path / "a"
    path.write_text("a")
    os.utime(path, ns=(0, 0))
    before = FileStates.of([path])

    def is_seen() -> bool:
        change(path)
        return before.look() != before

    # Two changes in one tick of the file system's clock look alike.
    until(is_seen, what="a change that is seen")


def test_another_target_of_a_link_is_a_change_though_all_else_is_the_same(tmp_path: Path) -> None:
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
    (tmp_path / "..1/a").write_text("a")
    os.link(tmp_path / "..1/a", tmp_path / "..2/a")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a").symlink_to("..data/a")
    before = FileStates.of([tmp_path / "a"])
    (tmp_path / "..next").symlink_to("..2")
    (tmp_path / "..next").rename(tmp_path / "..data")
    assert before.look() != before


def test_a_file_that_this_process_may_not_look_at_counts_as_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("a")
    before = FileStates.of([tmp_path / "a"])

    def refuse(_path: str) -> int:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("mta.file_states.os.stat", refuse)
    assert before.look() == before


def test_the_contents_leave_directories_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    before = FileStates.of([tmp_path, tmp_path / "a"])
    (tmp_path / "b").write_text("b")
    assert before.look().contents == before.contents
    assert set(before.contents.states) == {str(tmp_path / "a")}


def test_files_are_absent_if_none_is_there(tmp_path: Path) -> None:
    assert FileStates.of([tmp_path / "a", tmp_path / "b"]).all_absent
    assert not FileStates.of([tmp_path / "a", tmp_path]).all_absent


def test_a_record_keeps_the_state_from_before_the_first_reading(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("a")
    record = FileRecord()
    record.note(path)
    before = FileStates.of([path])
    path.write_text("ab")
    record.note(str(path))
    assert record.states == before
    assert record.states.look() != record.states


def test_a_change_is_over_when_two_looks_in_a_row_have_seen_the_same() -> None:
    changes = Changes(seen(a=1), NOW)
    looks = [seen(a=1), seen(a=2), seen(a=3), seen(a=3), seen(a=3)]
    assert [changes.are_over(look) for look in looks] == [False, False, False, True, True]
    changes.read(seen(a=3), NOW)
    assert not changes.are_over(seen(a=3))
    assert changes.known == seen(a=3)


def test_a_change_that_is_taken_back_is_none() -> None:
    changes = Changes(seen(a=1), NOW)
    looks = [seen(a=2), seen(a=1), seen(a=1), seen(a=2), seen(a=2)]
    assert [changes.are_over(look) for look in looks] == [False, False, False, False, True]


def test_a_look_from_before_the_reading_does_not_count() -> None:
    changes = Changes(seen(a=1), NOW)
    changes.are_over(seen(a=2))
    changes.read(seen(a=3), NOW)
    assert [changes.are_over(seen(a=2)) for _ in range(2)] == [False, True]


def changed_at(time: float) -> FileStates:
    return FileStates({"a": FileState(False, "/a", 1, 1, 1, 0, int(time * 1e9))})


def test_files_that_were_read_just_after_a_change_are_read_once_more() -> None:
    young = changed_at(NOW - 0.5)
    changes = Changes(young, NOW)
    assert changes.are_over(young)
    changes.read(young, NOW)
    assert not changes.are_over(young)
    # A later change is another one.
    changes.read(changed_at(NOW + 20), NOW + 20)
    assert changes.are_over(changed_at(NOW + 20))


def test_files_that_were_read_long_after_a_change_are_not_read_again() -> None:
    old = changed_at(NOW - 1.5)
    changes = Changes(old, NOW)
    assert not changes.are_over(old)
    changes.read(old, NOW)
    assert not changes.are_over(old)
