"""The interface that rows expect of any mail server, and the place in which a server runs."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self


class LeftOut(Exception):
    """A contender cannot take part on this machine; the text says why, and the others go on."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs: `directory` for its home, `cache` for its programs, the sink for all its mail."""

    directory: Path
    cache: Path
    sink_port: int
    files: Mapping[str, bytes]

    def new_home(self, name: str) -> Path:
        """Make a server's folder, which other users may pass through, with the files that were asked for."""
        home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))
        home.chmod(0o755)
        for file, content in self.files.items():
            (home / file).write_bytes(content)
        return home


def settled(settings: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the settings with the home put in where they name it."""
    return {name: text.replace("@HOME@", str(home)) for name, text in settings.items()}


class Server(Protocol):
    """One mail server with directories of its own. Entering starts it fresh, leaving ends and removes it."""

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""

    @property
    def home(self) -> Path:
        """The folder of all it keeps, on the disk that is measured."""

    @property
    def pid(self) -> int:
        """The process that all others of it descend from."""

    def waiting(self) -> int:
        """Return how many messages are still in its queue."""

    def __enter__(self) -> Self:
        """Start and wait until it greets. Raises LeftOut if it cannot be had here, RuntimeError if it fails."""

    def __exit__(self, *exc: object) -> None:
        """End all its processes and remove its folder."""
