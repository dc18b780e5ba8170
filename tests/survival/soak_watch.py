"""Watches a soak: every line of the log, and the daemon's memory, descriptors and files over time."""

import json
import os
import re
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.log_lines import may_be_cut, pieces
from harness.processes import Child
from harness.waiting import PATIENCE
from tests.survival.soak_books import Books, Count

_EVENT = re.compile(r'\{"time": "[^"]{24}", "event": "([a-z_-]+)"')
_TO = re.compile(r'"to": "<r(\d+)@')
_MAY_HAVE = "may have been taken"
_USUAL = {
    "accepted",
    "amended",
    # A kill has cut the line before its name.
    "cut",
    "deferred",
    "delivered",
    "destination-down",
    "destination-up",
    "failed",
    "lease-lost",
    "listening",
    "possible-duplicate",
    "recovered",
    "refused",
    "reported",
    "session-ended",
    "setting",
    "started",
    "stopped",
    "stopping",
    "turned-away",
}
#: Lines of other events that a soak causes.
_EXPECTED = (
    "NET_DEV=",
    "the relay runs as root",
    "lies in the container's own file system",
    "lies in memory",
    "the new certificate is in use",
)
_MIB = 1 << 20
_HISTORY_MINUTES = 30


class Log:
    """Reads the daemon's output from a pipe, counts its events, and drops them; unexpected ones are kept."""

    def __init__(self, books: Books) -> None:
        self.counts: Counter[str] = Counter()
        self.lines = 0
        self.unexpected: list[str] = []
        self._last: deque[bytes] = deque(maxlen=40)
        #: Possible duplicates that the latest start reported, by their cause.
        self.found = 0
        self._finding = False
        self._books = books
        self._out, self.pipe = os.pipe()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def tail(self) -> str:
        """The last lines."""
        return b"\n".join(self._last).decode(errors="replace")

    def close(self) -> None:
        """Read the rest, and end."""
        os.close(self.pipe)
        self._thread.join(PATIENCE)

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._out, 1 << 20):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                for piece in pieces(line.decode(errors="replace")):
                    self._take(piece)
            self._last.extend(lines[-5:])

    def _take(self, line: str) -> None:
        found = _EVENT.match(line)
        event = found.group(1) if found else "cut" if may_be_cut(line) else "not JSON"
        self.counts[event] += 1
        self._count_found(event)
        if event in {"failed", "possible-duplicate"} or (event == "deferred" and _MAY_HAVE in line):
            self._note(event, line)
        if event not in _USUAL and not any(words in line for words in _EXPECTED):
            self.counts["unexpected"] += 1
            if len(self.unexpected) < 50:
                self.unexpected.append(line[:2000])
        # Last, because a test waits for it.
        self.lines += 1

    def _count_found(self, event: str) -> None:
        """A start reports all its findings at once."""
        if event == "recovered":
            self.found, self._finding = 0, True
        elif event != "possible-duplicate":
            self._finding = False
        elif self._finding:
            self.found += 1

    def _note(self, event: str, line: str) -> None:
        to = _TO.search(line)
        if to is None:
            return
        number = int(to.group(1))
        if event == "failed":
            self._books.add(self._books.failed, number)
        if event != "failed" or _MAY_HAVE in line:
            self._books.add(self._books.excused, number)


class Apart(Child):
    """A program that Ctrl-C does not reach, so that it can be asked and ended in order."""

    def start(self) -> None:
        """Start it in a process group of its own."""
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment,
                process_group=0,
            )


class PipedChild(Apart):
    """One whose output goes to a log's pipe."""

    def __init__(self, command: Sequence[str], log: Log, environment: Mapping[str, str]) -> None:
        super().__init__(command, Path(f"/proc/self/fd/{log.pipe}"), environment)
        self._log = log

    @property
    def text(self) -> str:
        """The last lines of the log."""
        return self._log.tail


class Gauges:
    """Samples of a daemon, one list for each of its lives."""

    def __init__(self, books: Books, log: Log, queue_dir: Path) -> None:
        self.lives: list[list[dict[str, Any]]] = []
        self._books = books
        self._log = log
        self._file = queue_dir / "queue.sqlite"
        self._wal = queue_dir / "queue.sqlite-wal"
        self._begun = time.monotonic()
        self._pid = 0

    def sample(self, pid: int) -> dict[str, Any]:
        """Take a sample and return it. Sizes are octets, times seconds."""
        if pid != self._pid:
            self._pid = pid
            self.lives.append([])
        counts = self._books.counts
        seen = {
            "at": round(time.monotonic() - self._begun, 1),
            "resident": _resident(pid),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "cpu": _cpu(pid),
            "file": _size(self._file),
            "wal": _size(self._wal),
            "lines": self._log.lines,
            **{count.name.lower(): counts[count] for count in Count if count not in {Count.RATE, Count.OVER}},
        }
        self.lives[-1].append(seen)
        return seen


def judge(lives: Sequence[Sequence[dict[str, Any]]], warm: float, least: float) -> tuple[list[str], list[str]]:
    """Judge the trend of the longest life after so many seconds of warming up; it must then last `least` seconds.

    Returns findings, and those that are faults.
    """
    longest = max(lives, key=lambda life: life[-1]["at"] - life[0]["at"])
    steady = [seen for seen in longest if seen["at"] - longest[0]["at"] >= warm]
    if len(steady) < 6 or steady[-1]["at"] - steady[0]["at"] < least:
        return ["memory: no life of the daemon was long enough for a trend"], []
    third = len(steady) // 3
    early, middle, late = steady[:third], steady[third:-third], steady[-third:]
    minutes = (steady[-1]["at"] - steady[0]["at"]) / 60
    findings = [f"a life of the daemon, its last {minutes:.1f} minutes, in thirds:"]
    faults = []
    # The file grows until the history begins to be forgotten, and for as long again until that has caught up.
    trends = [("resident", _MIB, early, 2), ("descriptors", 1, early, 20), ("wal", _MIB, early, 32)]
    if minutes >= _HISTORY_MINUTES:
        trends.append(("file", _MIB, middle, 64))
    for name, unit, before, room in trends:
        first, last = (max(seen[name] for seen in part) / unit for part in (before, late))
        which = "first" if before is early else "middle"
        findings.append(f"{name}{' MiB' * (unit > 1)}: at most {first:.1f} in the {which}, {last:.1f} in the last")
        if last > first * 1.05 + room:
            faults.append(f"not flat: {findings[-1]}")
    return findings, faults


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def ledger_of(text: str) -> dict[str, int]:
    """Return the ledger in the output of `smtprelay queue summary --json`."""
    found: dict[str, int] = json.loads(text)["ledger"]
    return found
