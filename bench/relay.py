"""The checkout's own daemon, in smarthost mode and with its defaults otherwise."""

import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Self

from bench.processes import family
from bench.server import LeftOut, Place, settled
from harness.daemon import Daemon
from mta.config import table
from mta.config.setting import FILE_SUFFIX

#: Seconds for a stop before the relay is killed; late deliveries are not measured.
_GRACE_SECONDS = 3.0
#: Settings that are not the relay's: variables of bench/hooks/sitecustomize.py, and the path to it.
HOOKS = frozenset({"PYTHONPATH", "PYTHONHASHSEED", "BENCH_TIMEOUT", "BENCH_SPEED", "BENCH_VALGRIND"})


class Relay:
    """One relay; `settings` are its documented variables and stand over the bench's own."""

    def __init__(self, place: Place, settings: Mapping[str, str]) -> None:
        self._place = place
        self._settings = settings

    @cached_property
    def home(self) -> Path:
        """The folder of all it keeps, made when it is first asked for."""
        return self._place.new_home("smtprelay")

    @cached_property
    def daemon(self) -> Daemon:
        """The daemon, with its settings decided."""
        usual = {
            "LOG_FORMAT": "text",
            "SMARTHOST_ADDRESS": "127.0.0.1",
            "SMARTHOST_PORT": str(self._place.sink_port),
            "SMARTHOST_TLS": "none",
        }
        return Daemon(self.home, **{**usual, **settled(self._settings, self.home)})

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self.daemon.port

    @property
    def pid(self) -> int:
        """Its only process, or the parent of its workers."""
        return self.daemon.child.pid

    def waiting(self) -> int:
        """Return how many messages are still in its queue, asked for beside the daemon."""
        return len(self.daemon.queue())

    def __enter__(self) -> Self:
        if unknown := [name for name in self._settings if not _is_setting(name) and name not in HOOKS]:
            raise LeftOut(f"this relay has no setting {', '.join(unknown)}")
        try:
            self.daemon.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self.daemon.child.running:
            workers = [*family(self.pid)][1:]
            self.daemon.child.stop(_GRACE_SECONDS)
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)


def _is_setting(name: str) -> bool:
    """Whether a variable sets a setting, or names the file of a secret."""
    return hasattr(table, name) or hasattr(table, name.removesuffix(FILE_SUFFIX))
