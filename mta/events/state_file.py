"""The state of a spool in a small file: the last event that the receiver has, and how the process before ended."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from mta.blocking import fsync_path

STATE, NEW_STATE = "state.json", "state.json.new"
# The octets of the file, of which the last ones are blank. One write replaces them: a file that was renamed over
# another one for each batch was a sixth of the cost of events (measured).
_OCTETS = 256


@dataclass(slots=True)
class SpoolState:
    """The content of the file."""

    #: The number of the last event that the receiver has, or that was dropped.
    received: int
    #: When the spool was made.
    since: float
    dropped: int = 0
    #: Whether the last process ended properly, so that all events were written.
    clean: bool = True


class StateFile:
    """The file in the folder of a spool. Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def read(self) -> SpoolState | None:
        """Return the state, or None if it is missing or damaged. Raises OSError."""
        try:
            fields = json.loads((self._folder / STATE).read_text("ascii"))
            return SpoolState(
                int(fields["received"]), float(fields["since"]), int(fields["dropped"]), bool(fields["clean"])
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def begin(self, state: SpoolState) -> None:
        """Write the state durably to a new file, and keep it open. Raises OSError."""
        self.close()
        new = self._folder / NEW_STATE
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(new, flags, 0o600)
        self.write(state, durably=True)
        new.rename(self._folder / STATE)
        fsync_path(self._folder)

    def write(self, state: SpoolState, *, durably: bool = False) -> None:
        """Write the state, after `begin`. Raises OSError."""
        if self._descriptor is None:
            raise OSError("the file is closed")
        fields = {name: getattr(state, name) for name in ("received", "since", "dropped", "clean")}
        os.pwrite(self._descriptor, json.dumps(fields).encode("ascii").ljust(_OCTETS), 0)
        if durably:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
