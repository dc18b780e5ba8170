"""A mail server of Debian's that runs beside the relay, whichever it is."""

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from bench.debian import command_in, end, folder_with, start_server
from bench.server import Place, settled
from harness.processes import free_port


@dataclass(frozen=True, slots=True)
class Site:
    """The values in a peer's configuration: its home, the Debian that it runs in, its port and the sink's."""

    home: Path
    debian: Path
    port: int
    sink_port: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a peer is had: its package, its configuration written and its foreground command given, its queue counted."""

    name: str
    package: str
    configure: Callable[[Site, Mapping[str, str]], Sequence[str]]
    waiting: Callable[[Path], int]
    #: Files of the home that it looks for elsewhere, and where.
    bound: Mapping[str, str]


#: A file of the home that any peer looks for elsewhere, if the home has it: the DNS server that it asks.
_FOR_ALL: Mapping[str, str] = {"resolv.conf": "/etc/resolv.conf"}


class Peer:
    """One such server; `settings` stand over those of its recipe."""

    def __init__(self, recipe: Recipe, place: Place, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        self._recipe = recipe
        self._place = place
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @cached_property
    def home(self) -> Path:
        """The folder of all it keeps, made when it is first asked for."""
        return self._place.new_home(self._recipe.name)

    @property
    def pid(self) -> int:
        """The process that all others of it descend from."""
        assert self._process is not None
        return self._process.pid

    def waiting(self) -> int:
        """Return how many messages are still in its queue."""
        return self._recipe.waiting(self.home)

    def __enter__(self) -> Self:
        debian = folder_with(self._place.cache, self._recipe.package)
        try:
            self._start(debian)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, debian: Path) -> None:
        site = Site(self.home, debian, self.port, self._place.sink_port)
        command = self._recipe.configure(site, settled(self._settings, self.home))
        bound = {self._place.directory: self._place.directory}
        names = {**_FOR_ALL, **self._recipe.bound}
        bound |= {self.home / file: Path(path) for file, path in names.items() if (self.home / file).exists()}
        self._process = start_server(
            self._recipe.name, command_in(debian, command, bound), self.port, self.home / "output"
        )

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            end(self._process)
        shutil.rmtree(self.home, ignore_errors=True)
