"""The files of a day: sessions of several processes, and reports that were sent."""

from pathlib import Path

import pytest

from mta.tls_reports.day_file import DAY, DayFiles, as_text
from mta.tls_reports.tally import CountedPolicy, PolicyType, Tally

TODAY = 20_787 * DAY
NONE = CountedPolicy(PolicyType.NONE)


def counted(*domains: str) -> Tally:
    tally = Tally()
    for domain in domains:
        tally.count(domain, NONE, None)
    return tally


def test_the_sessions_of_all_processes_are_added(tmp_path: Path) -> None:
    other = tmp_path / "worker-2"
    other.mkdir()
    files = DayFiles(tmp_path, lambda: [other])
    files.write(TODAY, as_text(counted("a.test", "b.test")))
    DayFiles(other).write(TODAY, as_text(counted("a.test")))
    DayFiles(other).write(TODAY - DAY, as_text(counted("c.test")))
    assert files.days() == [TODAY - DAY, TODAY]
    assert list(files.read(TODAY - DAY).domains) == []
    assert files.read_all(TODAY).domains["a.test"][NONE].good == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tls-reports-2026-11-30.json", "worker-2"]
    files.remove(TODAY)
    files.remove(TODAY - DAY)
    assert files.days() == []
    assert [path.name for path in tmp_path.rglob("*")] == ["worker-2"]


def test_reports_that_were_sent_are_remembered(tmp_path: Path) -> None:
    files = DayFiles(tmp_path)
    assert files.sent(TODAY) == set()
    files.note_sent(TODAY, "a.test", "ann@a.test, bob@a.test")
    files.note_sent(TODAY, "a.test", "")
    assert files.sent(TODAY) == {("a.test", "ann@a.test, bob@a.test"), ("a.test", "")}
    path = tmp_path / "tls-reports-2026-11-30.sent"
    path.write_text(path.read_text() + "b.test https://b.te")
    assert len(files.sent(TODAY)) == 2
    files.remove(TODAY)
    assert not path.exists()


def test_a_day_of_which_a_kill_left_the_sent_reports_alone_is_still_removed(tmp_path: Path) -> None:
    DayFiles(tmp_path).note_sent(TODAY, "a.test", "")
    files = DayFiles(tmp_path)
    assert (files.days(), list(files.read_all(TODAY).domains)) == ([TODAY], [])
    files.remove(TODAY)
    assert list(tmp_path.iterdir()) == []


def test_the_names_of_new_files_are_synced_too(tmp_path: Path, synced: list[Path]) -> None:
    files = DayFiles(tmp_path)
    files.write(TODAY, as_text(counted("a.test")))
    assert synced == [tmp_path / "tls-reports-2026-11-30.new", tmp_path]
    synced.clear()
    files.note_sent(TODAY, "a.test", "")
    files.note_sent(TODAY, "b.test", "")
    sent = tmp_path / "tls-reports-2026-11-30.sent"
    assert synced == [sent, tmp_path, sent]


@pytest.mark.parametrize("rest", ["b.test mai", "b.test", "b"])
def test_a_line_that_was_cut_spoils_no_other_and_counts_as_not_sent(tmp_path: Path, rest: str) -> None:
    files = DayFiles(tmp_path)
    files.note_sent(TODAY, "a.test", "mailto:x@a.test")
    (path,) = tmp_path.iterdir()
    with path.open("a") as file:
        file.write(rest)
    files.note_sent(TODAY, "c.test", "mailto:x@c.test")
    assert files.sent(TODAY) == {("a.test", "mailto:x@a.test"), ("c.test", "mailto:x@c.test")}
    path.write_text(rest)
    files.note_sent(TODAY, "c.test", "")
    assert files.sent(TODAY) == {("c.test", "")}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a.test":1}', "\x00" * 20, "[" * 100_000])
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    files = DayFiles(tmp_path)
    (tmp_path / "tls-reports-2026-11-30.json").write_text(text)
    with pytest.raises(ValueError, match="is damaged"):
        files.read(TODAY)
    files.write(TODAY, as_text(counted("a.test")))
    assert list(files.read(TODAY).domains) == ["a.test"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tls-reports-2026-11-30.json").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        DayFiles(tmp_path).read(TODAY)
