"""The file of rates after clean ends, crashes and failures of the disk."""

import os
import resource
from pathlib import Path

import pytest

from mta.blocking import run_inline
from mta.delivery.rates.journal import FILE_NAME, MAX_LINES, RateFile, Used

KEY = "30-pace.toml:1\t100 messages/minute\t"
BOTH = "30-pace.toml:2\t100 messages/minute, 50 recipients/hour\tmx.a.test"
#: The wall clock at the beginning; the windows' clock is 5000 seconds behind it.
NOW, BEHIND = 1_000_000.0, 5000.0


class Times:
    """The clocks of a host; with `boot` the clock of the windows begins anew."""

    def __init__(self) -> None:
        self.wall = NOW
        self.behind = BEHIND

    def advance(self, seconds: float) -> None:
        self.wall += seconds

    def clock(self) -> float:
        return self.wall - self.behind


class Files:
    """Opens the file of a directory as the next processes would."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self.times = Times()
        self.troubles: list[str] = []

    def open(self) -> RateFile:
        times = self.times
        return RateFile(
            self.path, run=run_inline, clock=times.clock, wall_clock=lambda: times.wall, trouble=self.troubles.append
        )

    def counted(self, file: RateFile, key: str = KEY) -> list[list[tuple[float, int]]]:
        """Return the ages of what is counted, with the numbers."""
        now = self.times.clock()
        return [[(round(now - at, 3), number) for at, number in each] for each in file.counted(key, now)]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_without_a_file_nothing_was_counted(files: Files) -> None:
    assert files.counted(files.open()) == []
    assert not files.path.exists()
    assert files.troubles == []


def test_after_a_clean_end_the_next_process_knows_when_what_was_sent(files: Files) -> None:
    file, now = files.open(), files.times.clock()
    file.close({KEY: [[(now - 20, 3), (now - 5, 4)]]}, [])
    files.times.advance(10)
    files.times.behind += 1234
    assert files.counted(files.open()) == [[(30, 3), (15, 4)]]


def test_leave_that_was_out_at_the_end_counts_from_the_next_start(files: Files) -> None:
    file, now = files.open(), files.times.clock()
    file.close({KEY: [[(now - 20, 3)]]}, [Used(KEY, 2, 5)])
    files.times.advance(10)
    assert files.counted(files.open()) == [[(30, 3), (0, 2)]]


def test_after_a_crash_the_last_block_counts_as_sent_now_and_the_others_when_the_next_was_written(files: Files) -> None:
    file = files.open()
    for messages in (10, 11, 12):
        file.append([Used(KEY, messages, 0)])
        files.times.advance(100)
    # With a minute for transactions that were running then.
    assert files.counted(files.open()) == [[(140, 10), (40, 11), (0, 12)]]


def test_each_rate_counts_in_its_unit(files: Files) -> None:
    files.open().append([Used(BOTH, 3, 7)])
    assert files.counted(files.open(), BOTH) == [[(0, 3)], [(0, 7)]]


def test_blocks_count_once_if_the_relay_is_killed_again(files: Files) -> None:
    files.open().append([Used(KEY, 10, 0)])
    files.open()
    files.times.advance(30)
    assert files.counted(files.open()) == [[(30, 10)]]


def test_what_no_destination_asked_for_since_the_start_is_kept_as_long_as_it_counts(files: Files) -> None:
    files.open().append([Used(KEY, 10, 0)])
    files.times.advance(30)
    second = files.open()
    second.close({BOTH: [[(files.times.clock(), 1)], []]}, [])
    files.times.advance(20)
    assert files.counted(files.open()) == [[(20, 10)]]
    files.times.advance(50)
    files.open().close({BOTH: [[(files.times.clock(), 1)], []]}, [])
    assert KEY.split("\t", maxsplit=1)[0] not in files.path.read_text()


def test_a_line_that_a_crash_has_cut_was_not_given_and_spoils_no_other(files: Files) -> None:
    files.open().append([Used(KEY, 10, 0)])
    whole = files.path.read_bytes()
    files.path.write_bytes(whole + whole[:25])
    file = files.open()
    file.append([Used(KEY, 4, 0)])
    files.times.advance(100)
    (entries,) = files.counted(files.open())
    assert sum(number for _, number in entries) == 14


def test_a_line_that_a_full_disk_has_cut_spoils_no_other(files: Files) -> None:
    file = files.open()
    file.append([Used(KEY, 10, 0)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (files.path.stat().st_size + 25, limits[1]))
    try:
        file.append([Used(KEY, 4, 0)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file.append([Used(KEY, 5, 0)])
    assert len(files.troubles) == 1
    files.times.advance(100)
    (entries,) = files.counted(files.open())
    assert sum(number for _, number in entries) == 15


@pytest.mark.parametrize(
    "text", ["{}", "[]", '["used"]', '["used","no key",1,2,3]', f'["state",{KEY!r},5]', "[" * 5000, "\udcff"]
)
def test_lines_of_another_kind_are_passed_over(files: Files, text: str) -> None:
    files.path.write_bytes(text.encode("utf-8", "surrogateescape") + b"\n")
    assert files.counted(files.open()) == []


def test_a_clock_that_was_set_back_lets_nothing_count_in_the_future(files: Files) -> None:
    files.open().append([Used(KEY, 10, 0)])
    files.times.advance(-3600)
    assert files.counted(files.open()) == [[(0, 10)]]


def test_a_long_file_is_written_anew_with_few_parts_for_each_window(files: Files) -> None:
    file = files.open()
    file.append([Used(KEY, 1, 0)] * MAX_LINES)
    assert file.long
    now = files.times.clock()
    file.rewrite({KEY: [[(now - number / 100, 1) for number in range(1000)]]}, [Used(KEY, 5, 0)])
    assert not file.long
    assert files.path.stat().st_size < 5000
    (entries,) = files.counted(files.open())
    assert sum(number for _, number in entries) == 1005


def test_only_the_relay_can_read_the_file(files: Files) -> None:
    files.open().append([Used(KEY, 1, 0)])
    assert files.path.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_fails_is_told_once_and_holds_no_mail(files: Files) -> None:
    file = files.open()
    files.path.mkdir()
    fired: list[object] = []
    for _ in range(2):
        file.append([Used(KEY, 1, 0)]).addCallback(fired.append)
    assert fired == [None, None]
    (line,) = files.troubles
    assert line.startswith(f"{files.path} cannot be used: ")
    assert "after a crash the rates of the rules begin anew" in line


def test_a_link_in_place_of_the_file_is_not_followed(files: Files, tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", files.path)
    files.open().append([Used(KEY, 1, 0)])
    assert not (tmp_path / "elsewhere").exists()
    assert len(files.troubles) == 1
