"""The file with the findings of doctor: read back as it was written, for the relay alone, and harmless if damaged."""

import os
import stat
from pathlib import Path

import pytest

from mta.admin.doctor_file import FILE_NAME, MAX_OCTETS, NEW_NAME, keep_run, last_run
from mta.admin.state import DoctorRun
from mta.doctor.findings import failure, ok, skipped

NOON = 1_795_348_800.0
RUN = DoctorRun(
    NOON,
    (
        ok("identity/name", "relay.example.org resolves"),
        failure("domain/spf", "no SPF for müller.example", "add it", 'müller.example. TXT "v=spf1 -all"'),
        skipped("block-list/ask", "behind a public resolver"),
    ),
)


def test_the_last_run_is_read_back(tmp_path):
    assert last_run(tmp_path) is None
    assert keep_run(tmp_path, DoctorRun(NOON - 1, ()))
    (tmp_path / NEW_NAME).write_text("left behind by a kill")
    assert keep_run(tmp_path, RUN)
    assert last_run(tmp_path) == RUN
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [FILE_NAME]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_file_of_root_belongs_to_the_user_of_the_queue(tmp_path):
    os.chown(tmp_path, 10025, 10026)
    assert keep_run(tmp_path, RUN)
    found = (tmp_path / FILE_NAME).stat()
    assert (found.st_uid, found.st_gid) == (10025, 10026)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"time": "x", "findings": []}',
        b'{"time": "2026-11-22T12:00:00Z", "findings": [{}]}',
        b"\xff",
    ],
)
def test_a_damaged_file_counts_as_missing(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    assert last_run(tmp_path) is None


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/etc/hostname")])
def test_an_entry_that_is_no_file_is_not_read(tmp_path, make):
    make(tmp_path / FILE_NAME)
    assert last_run(tmp_path) is None


def test_a_queue_directory_that_is_missing_is_not_made_and_a_large_run_is_not_kept(tmp_path):
    assert not keep_run(tmp_path / "missing", RUN)
    assert not (tmp_path / "missing").exists()
    assert not keep_run(tmp_path, DoctorRun(NOON, (ok("a/b", "x" * MAX_OCTETS),)))
    assert os.listdir(tmp_path) == []
