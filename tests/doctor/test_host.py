"""The checks of clock, disk, open files and memory, in good and bad states."""

from dataclasses import replace
from pathlib import Path

import pytest

from mta.daemon.mounts import Mount
from mta.doctor.findings import Level
from mta.doctor.host import EARLIEST, HostFacts, check_host
from mta.queue.interface import Space

NOW = EARLIEST + 1e6
GOOD = HostFacts(
    now=NOW,
    queue_dir=Path("/var/spool/relay"),
    last_write=NOW - 5,
    synchronized=True,
    space=Space(1 << 40),
    inodes=100_000,
    syncs=(0.001, 0.002),
    mount=Mount("/var", "/", "ext4"),
    open_files=65536,
    memory=1 << 30,
)


def found(**changes):
    return {each.check.removeprefix("host/"): each for each in check_host(replace(GOOD, **changes))}


def test_a_host_in_order_has_nothing_but_ok():
    assert {each.level for each in found().values()} == {Level.OK}
    assert list(found()) == ["clock", "space", "sync", "file-system", "open-files", "memory"]


@pytest.mark.parametrize(
    ("changes", "check", "level", "word"),
    [
        ({"now": 1e9}, "clock", Level.FAILURE, "years"),
        ({"last_write": NOW + 3600}, "clock", Level.FAILURE, "3600 s behind"),
        ({"synchronized": False}, "clock", Level.WARNING, "time service"),
        ({"synchronized": None}, "clock", Level.OK, "plausible"),
        ({"space": Space(0, full=True, short=True)}, "space", Level.FAILURE, "refused"),
        ({"space": Space(12 << 20, short=True)}, "space", Level.WARNING, "12 MiB"),
        ({"inodes": 10}, "space", Level.WARNING, "10 files"),
        ({"inodes": None}, "space", Level.OK, "free"),
        ({"space": None}, "space", Level.SKIPPED, "read"),
        ({"syncs": (0.06, 0.07, 0.08)}, "sync", Level.WARNING, "70.0 ms"),
        ({"syncs": (0.6,)}, "sync", Level.FAILURE, "600.0 ms"),
        ({"syncs": (0.001, 0.001, 0.9)}, "sync", Level.OK, "900.0 ms"),
        ({"sync_error": "Permission denied"}, "sync", Level.SKIPPED, "Permission denied"),
        ({"mount": Mount("/", "/", "overlay")}, "file-system", Level.WARNING, "container"),
        ({"mount": Mount("/var", "/", "tmpfs")}, "file-system", Level.WARNING, "memory"),
        ({"mount": Mount("/var", "/", "nfs4")}, "file-system", Level.FAILURE, "nfs4"),
        ({"mount": None}, "file-system", Level.SKIPPED, "mounts"),
        ({"open_files": 1024}, "open-files", Level.WARNING, "1024"),
        ({"open_files": None}, "open-files", Level.SKIPPED, "runs"),
        ({"memory": 1 << 20}, "memory", Level.WARNING, "1 MiB"),
        ({"memory": None}, "memory", Level.SKIPPED, "read"),
    ],
)
def test_each_state_of_the_host_has_its_finding(changes, check, level, word):
    finding = found(**changes)[check]
    assert finding.level is level
    assert word in finding.seen
    assert finding.remedy or level in {Level.OK, Level.SKIPPED}
