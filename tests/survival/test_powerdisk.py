"""The disk of these tests: synced octets and names survive a cut, others are lost."""

import errno
import os

import pytest

from tests.programs.power_disk import PowerDisk
from tests.programs.small_disk import NoDiskError


@pytest.fixture(scope="module")
def powered(tmp_path_factory):
    try:
        with PowerDisk(tmp_path_factory.mktemp("power")) as disk:
            yield disk
    except NoDiskError as error:
        pytest.skip(str(error))


@pytest.fixture
def disk(powered):
    powered.on()
    for path in powered.mount.rglob("*"):
        path.unlink()
    sync(powered.mount)
    powered.heal()
    return powered


def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def kept(disk, seed=None):
    """Cut the power and return the files afterwards."""
    disk.cut()
    disk.on(seed)
    return {path.name: path.read_bytes() for path in disk.mount.iterdir()}


def test_synced_octets_stay(disk):
    file = disk.mount / "file"
    file.write_bytes(b"x" * 10_000)
    sync(file)
    sync(disk.mount)
    assert kept(disk) == {"file": b"x" * 10_000}


def test_octets_that_were_not_synced_are_gone(disk):
    file = disk.mount / "file"
    file.write_bytes(b"x" * 10_000)
    sync(file)
    sync(disk.mount)
    with file.open("r+b") as more:
        more.write(b"y" * 5000)
        more.seek(20_000)
        more.write(b"z")
    assert file.stat().st_size == 20_001
    assert kept(disk) == {"file": b"x" * 10_000}


def test_a_file_that_was_cut_short_has_its_length_back_unless_that_was_synced(disk):
    long, short = disk.mount / "long", disk.mount / "short"
    for file in (long, short):
        file.write_bytes(b"x" * 10_000)
        sync(file)
        os.truncate(file, 5000)
    sync(short)
    sync(disk.mount)
    assert kept(disk) == {"long": b"x" * 10_000, "short": b"x" * 5000}


def test_a_synced_file_whose_directory_was_not_synced_has_no_name(disk):
    file = disk.mount / "file"
    file.write_bytes(b"x")
    sync(file)
    assert kept(disk) == {}


def test_a_name_whose_file_was_not_synced_has_no_octets(disk):
    (disk.mount / "file").write_bytes(b"x")
    sync(disk.mount)
    assert kept(disk) == {"file": b""}


def test_names_are_as_before_when_a_rename_and_a_removal_were_not_synced(disk):
    for name in ("a", "b"):
        (disk.mount / name).write_bytes(name.encode())
        sync(disk.mount / name)
    sync(disk.mount)
    (disk.mount / "a").rename(disk.mount / "c")
    (disk.mount / "b").unlink()
    assert kept(disk) == {"a": b"a", "b": b"b"}


def test_every_operation_fails_between_the_cut_and_the_return_of_the_power(disk):
    with (disk.mount / "file").open("wb", buffering=0) as file:
        disk.cut()
        for attempt in (lambda: file.write(b"x"), lambda: os.fsync(file.fileno()), lambda: sync(disk.mount)):
            with pytest.raises(OSError, match="Input/output error"):
                attempt()


def test_in_the_harsh_mode_a_random_part_of_unsynced_octets_is_kept_and_the_seed_repeats_it(disk):
    pages = b"".join(bytes([page]) * 4096 for page in range(200))
    found = set()
    for _ in range(2):
        file = disk.mount / "file"
        file.write_bytes(bytes(len(pages)))
        sync(file)
        sync(disk.mount)
        with file.open("r+b") as again:
            again.write(pages)
        content = kept(disk, seed=7)["file"]
        assert all(content[at] in {0, pages[at]} for at in range(0, len(pages), 512))
        found.add(content)
    (content,) = found
    assert bytes(len(pages)) != content != pages


def test_a_lying_disk_keeps_no_octets(tmp_path):
    try:
        with PowerDisk(tmp_path) as disk:
            disk.lie()
            file = disk.mount / "file"
            file.write_bytes(b"x")
            sync(file)
            sync(disk.mount)
            assert kept(disk) == {}
    except NoDiskError as error:
        pytest.skip(str(error))


def test_the_nth_operation_fails_once_or_from_then_on(disk):
    disk.fail("write", 2, errno.ENOSPC)
    with (disk.mount / "file").open("wb", buffering=0) as file:
        file.write(b"1")
        with pytest.raises(OSError, match="No space"):
            file.write(b"2")
        file.write(b"3")
        assert disk.seen()["write"] == 3
        disk.fail("fsync", lasting=True, name="fi*")
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output error"):
                os.fsync(file.fileno())
        sync(disk.mount)


def test_after_a_failed_sync_the_next_one_succeeds_without_making_octets_durable(disk):
    file = disk.mount / "file"
    file.write_bytes(b"x")
    sync(disk.mount)
    disk.fail("fsync")
    with pytest.raises(OSError, match="Input/output error"):
        sync(file)
    sync(file)
    assert file.read_bytes() == b"x"
    assert kept(disk) == {"file": b"\0"}
