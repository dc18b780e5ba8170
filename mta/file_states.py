"""The states of several files that are read as one, by which a change is found without reading them again."""

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# Seconds after a change until each further one gives another state, whatever the clock of the file system.
_CERTAIN_AFTER = 1.0
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class FileState(NamedTuple):
    """One state of a file or directory. Equal states mean the same content under the same permissions."""

    is_directory: bool
    #: The path without links, which changes when a ConfigMap is replaced.
    target: str
    device: int
    inode: int
    octets: int
    modified_ns: int
    #: Also changes with the permissions.
    changed_ns: int


#: A state, or the number of the error (errno) by which there is none.
StateOrError = FileState | int


def state_of(path: str) -> StateOrError:
    """Return the state of the file that a path leads to, through links."""
    try:
        target = os.path.realpath(path)
        status = os.stat(path)  # noqa: PTH116  realpath returns a str, too
    except OSError as error:
        return error.errno or errno.EIO
    return FileState(
        stat.S_ISDIR(status.st_mode),
        target,
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _is_directory(state: StateOrError) -> bool:
    return isinstance(state, FileState) and state.is_directory


@dataclass(frozen=True, slots=True)
class FileStates:
    """The states of files and directories at one moment, by path."""

    states: Mapping[str, StateOrError] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> "FileStates":
        """Return the present states of these files."""
        return cls({str(path): state_of(str(path)) for path in paths})

    def look(self) -> "FileStates":
        """Return the present states of the same files.

        A file that this process may not look at counts as unchanged: root may have read it before.
        """
        found = {path: state_of(path) for path in self.states}
        return FileStates({path: self.states[path] if now == errno.EACCES else now for path, now in found.items()})

    @property
    def all_absent(self) -> bool:
        """Whether none of the files exists."""
        return all(state in _ABSENT for state in self.states.values())

    @property
    def contents(self) -> "FileStates":
        """The states without those of directories, which change with files that are none of these."""
        return FileStates({path: state for path, state in self.states.items() if not _is_directory(state)})

    def changed_since(self, time: float) -> bool:
        """Whether a file or directory has changed at or after a time, seconds since 1970."""
        return any(isinstance(state, FileState) and state.changed_ns >= time * 1e9 for state in self.states.values())

    def without_access(self) -> list[str]:
        """Return the paths of files that exist, and that the user of this process may not read."""
        existing = (path for path, state in self.states.items() if isinstance(state, FileState))
        return [path for path in existing if not os.access(path, os.R_OK, effective_ids=True)]


class FileRecord:
    """Notes the state of each file before it is read.

    If all files have the same states once the last one is read, their contents as read were on disk at one moment.
    """

    def __init__(self) -> None:
        self._states: dict[str, StateOrError] = {}

    def note(self, path: Path | str) -> None:
        """Note a file that is about to be read."""
        if str(path) not in self._states:
            self._states[str(path)] = state_of(str(path))

    @property
    def states(self) -> FileStates:
        """The files that were noted, in the states that they had then."""
        return FileStates(dict(self._states))


class Changes:
    """Finds changes of files that are over: one counts when two looks in a row have seen the same.

    Times are seconds since 1970.
    """

    def __init__(self, known: FileStates, now: float) -> None:
        """`known` are the states in which the files were just read."""
        self._known = self._last = known
        self._uncertain = known.changed_since(now - _CERTAIN_AFTER)

    @property
    def known(self) -> FileStates:
        """The states in which the files were read last."""
        return self._known

    def read(self, states: FileStates, now: float) -> None:
        """Take note that the files were just read in these states."""
        self._known = self._last = states
        # Once is enough: the clock of a file server may be ahead.
        self._uncertain = not self._uncertain and states.changed_since(now - _CERTAIN_AFTER)

    def are_over(self, seen: FileStates) -> bool:
        """Return whether the files must be read again.

        They must if they have changed since they were read, and not since the last look; also, once, if they were read
        so soon after a change that a second change may have left the same state.
        """
        last, self._last = self._last, seen
        return seen == last and (seen != self._known or self._uncertain)
