"""Reads the state of this host: clock, disk, mounts, limits and memory."""

import ctypes
import os
import re
import tempfile
import time
from pathlib import Path

from mta.daemon.mounts import Mount, container_mount
from mta.doctor.host import HostFacts
from mta.queue.disk.files import BODIES, wal_of
from mta.queue.disk.queue_dir import FILE_NAME, RELAY_LOCK
from mta.queue.disk.space import assess_space, free_octets
from mta.queue.interface import Space

#: Synced writes that measure the disk, and seconds after which no further one is made.
_WRITES, _SECONDS = 16, 3.0
_BLOCK = b"\0" * 4096
# adjtimex(2): the state of a clock that no service keeps, and more octets than its struct has.
_TIME_ERROR, _TIMEX_OCTETS = 5, 512
_OPEN_FILES = re.compile(r"^Max open files\s+(\d+|unlimited)", re.MULTILINE)
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB", re.MULTILINE)
_UNLIMITED = 1 << 30
_CGROUP = Path("/sys/fs/cgroup")


def host_facts(queue_dir: Path) -> HostFacts:
    """Return the facts about this host and the disk of a queue. Takes up to some seconds."""
    mount, in_container = _mount(queue_dir)
    syncs, sync_error = measure_syncs(queue_dir)
    return HostFacts(
        now=time.time(),
        queue_dir=queue_dir,
        last_write=_last_write(queue_dir),
        synchronized=clock_is_kept(),
        space=_space(queue_dir),
        inodes=_inodes(queue_dir),
        syncs=syncs,
        sync_error=sync_error,
        mount=mount,
        in_container=in_container,
        open_files=open_files(queue_dir),
        memory=free_memory(),
    )


def clock_is_kept() -> bool | None:
    """Return whether the kernel says that a time service keeps the clock; None if it does not tell."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_OCTETS))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def measure_syncs(directory: Path) -> tuple[tuple[float, ...], str]:
    """Return the seconds of each of some small synced writes to a new file, which is removed, or why they failed."""
    taken: list[float] = []
    end = time.monotonic() + _SECONDS
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            while len(taken) < _WRITES and (begun := time.monotonic()) < end:
                os.write(file.fileno(), _BLOCK)
                os.fdatasync(file.fileno())
                taken.append(time.monotonic() - begun)
    except OSError as error:
        return (), error.strerror or str(error)
    return tuple(taken), ""


def open_files(queue_dir: Path) -> int | None:
    """Return the limit of open files of the relay that uses a queue; None if it does not run or may not be read."""
    try:
        process = int((queue_dir / RELAY_LOCK).read_text("ascii"))
        found = _OPEN_FILES.search(Path(f"/proc/{process}/limits").read_text("ascii"))
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    return _UNLIMITED if found[1] == "unlimited" else int(found[1])


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int | None:
    """Return the octets of memory that programs can have on this host, and within the limit of the container."""
    try:
        found = _AVAILABLE.search(meminfo.read_text("ascii"))
    except OSError:
        return None
    if found is None:
        return None
    octets = int(found[1]) * 1024
    try:
        limit, used = ((cgroup / name).read_text("ascii") for name in ("memory.max", "memory.current"))
        return min(octets, int(limit) - int(used))
    except (OSError, ValueError):
        # There is no limit, or no control group.
        return octets


def _mount(queue_dir: Path) -> tuple[Mount | None, bool]:
    try:
        return container_mount(queue_dir)
    except OSError:
        return None, False


def _last_write(queue_dir: Path) -> float | None:
    times = []
    for path in (queue_dir / FILE_NAME, wal_of(queue_dir / FILE_NAME)):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def _space(queue_dir: Path) -> Space | None:
    directory = queue_dir / BODIES if (queue_dir / BODIES).is_dir() else queue_dir
    try:
        return assess_space(free_octets(directory), 0)
    except OSError:
        return None


def _inodes(queue_dir: Path) -> int | None:
    try:
        disk = os.statvfs(queue_dir)
    except OSError:
        return None
    # Btrfs and others create inodes when they are needed, and tell of none.
    return disk.f_favail if disk.f_files else None
