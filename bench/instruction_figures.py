"""The committed numbers of instructions a message, and their comparison with new ones.

A number holds for one build of Python: another compiler makes other instructions of the same interpreter. Therefore the
file has an entry for each build for which somebody has measured.
"""

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

FILE = Path(__file__).parent / "instructions.json"
#: The most by which a figure may grow: a run differs from the next by less than a third of it.
MOST_GROWTH = 0.03
# Packages with a share of a message's instructions.
_PACKAGES = ("Twisted", "zope.interface", "attrs")


@dataclass(frozen=True, slots=True)
class Build:
    """The parts of a relay on which its instructions depend, and which are not this project's."""

    python: str
    machine: str
    compiled: bool

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.python} on {self.machine}{', with compiled modules' if self.compiled else ''}"


@dataclass(frozen=True, slots=True)
class Entry:
    """Instructions a message by the name of the row, and the versions of packages with which they were counted."""

    build: Build
    packages: Mapping[str, str]
    instructions: Mapping[str, int]


def this_build(*, compiled: bool) -> Build:
    """Return the build of the Python that runs."""
    return Build(sys.version.replace("\n", ""), platform.machine(), compiled)


def these_packages() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    return {name: version(name) for name in _PACKAGES}


def read(file: Path = FILE) -> list[Entry]:
    """Return the committed entries."""
    rows = json.loads(file.read_text())
    return [Entry(Build(**row["build"]), row["packages"], row["instructions"]) for row in rows]


def write(entry: Entry, file: Path = FILE) -> None:
    """Put an entry in the place of that of the same build, or behind the others."""
    entries = [each for each in read(file) if each.build != entry.build]
    rows = [asdict(each) for each in [*entries, entry]]
    file.write_text(json.dumps(rows, indent=2) + "\n")


def find(build: Build, entries: list[Entry]) -> Entry | None:
    """Return the entry of a build, or None."""
    return next((entry for entry in entries if entry.build == build), None)


def lines(committed: Entry, counted: Mapping[str, int]) -> list[str]:
    """Return a line for each row: the committed figure, the new one, and the growth."""
    return [
        f"{name}: {counted[name]:,} instructions a message, {before:,} committed, {growth(before, counted[name]):+.1%}"
        for name, before in committed.instructions.items()
    ]


def verdict(committed: Entry, counted: Mapping[str, int], packages: Mapping[str, str]) -> str:
    """Return a line with the reason why the figures may not stand, or "" if they may."""
    grown = [name for name, before in committed.instructions.items() if growth(before, counted[name]) > MOST_GROWTH]
    if not grown:
        return ""
    changed = [f"{name} {packages[name]}" for name in packages if packages[name] != committed.packages.get(name)]
    cause = f" (packages that have changed since: {', '.join(changed)})" if changed else ""
    return (
        f"{', '.join(grown)}: more than {MOST_GROWTH:.0%} more instructions a message than committed{cause}. "
        "Make it cheaper, or commit the new figures with the reason: make bench-instructions WRITE=1"
    )


def growth(before: int, after: int) -> float:
    """Return by which share a number has grown."""
    return after / before - 1
