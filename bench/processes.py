"""CPU time and memory of a server, from the figures of the kernel about its processes."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it and live."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _text(thread).split():
            yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a family of processes has used, in user and system mode, of members that ended too."""
    return sum(_ticks(member) for member in family(pid)) / _TICKS


def resident_mb(pid: int) -> float:
    """Return the resident memory of a family now, in MB; pages that members share count for each of them."""
    return _total_mb(pid, "VmRSS:")


def peak_mb(pid: int) -> float:
    """Return the sum of the most resident memory each member of a family has had, in MB."""
    return _total_mb(pid, "VmHWM:")


def _total_mb(pid: int, field: str) -> float:
    return sum(_kibibytes(member, field) for member in family(pid)) * 1024 / 1e6


def _kibibytes(pid: int, field: str) -> int:
    lines = _text(Path(f"/proc/{pid}/status")).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def _ticks(pid: int) -> int:
    """Return utime, stime, cutime and cstime of a process; see proc(5) for the fields behind the name."""
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _text(file: Path) -> str:
    """Return the text of a file in /proc, or "" for a process that has ended."""
    try:
        return file.read_text()
    except OSError:
        return ""
