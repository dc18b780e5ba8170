"""Haraka as npm ships it: a relay on Node.js that syncs the file of each message and not its folder."""

import shutil
from functools import cached_property
from pathlib import Path
from typing import Self

from bench.server import LeftOut, Place
from harness import npm
from harness.processes import Child, find_program, free_port, greets
from harness.waiting import until

#: The version that is measured.
VERSION = "3.3.4"
_PACKAGES = (f"Haraka@{VERSION}",)
_FILES = {
    # Every client may send anywhere, and all mail goes to the sink.
    "plugins/onward.js": """\
exports.hook_connect = (next, connection) => {{ connection.relaying = true; next() }}
exports.hook_rcpt = (next) => next(OK)
exports.hook_get_mx = (next) => next(OK, {{ priority: 0, exchange: '127.0.0.1', port: {sink_port} }})
""",
    "config/plugins": "onward\n",
    "config/me": "haraka.example.test\n",
    # nodes=0 is one process, which does as well here as one for each of two cores.
    "config/smtp.ini": "listen=127.0.0.1:{port}\nnodes=0\n",
    "config/outbound.ini": "local_mx_ok=true\nenable_tls=false\nconcurrency_max=20\n",
    "config/log.ini": "level=warn\n",
}


class Haraka:
    """One Haraka, which passes all mail to the sink."""

    def __init__(self, place: Place) -> None:
        self.port = free_port()
        self._place = place
        self._child: Child | None = None

    @cached_property
    def home(self) -> Path:
        """The folder of all it keeps, made when it is first asked for."""
        return self._place.new_home("haraka")

    @property
    def pid(self) -> int:
        """Its only process."""
        assert self._child is not None
        return self._child.pid

    def waiting(self) -> int:
        """Return how many messages are still in its queue."""
        return sum(1 for file in (self.home / "queue").iterdir() if file.is_file())

    def __enter__(self) -> Self:
        package = _package()
        for name, text in _FILES.items():
            file = self.home / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text.format(port=self.port, sink_port=self._place.sink_port))
        # Haraka greets no client without this file, and a folder of one's own hides the package's.
        shutil.copy(package / "config/connection.ini", self.home / "config")
        (self.home / "queue").mkdir()
        command = ["node", str(package / "bin/haraka"), "-c", str(self.home)]
        self._child = Child(command, self.home / "output")
        try:
            self._start(self._child)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, child: Child) -> None:
        child.start()
        until(lambda: greets(self.port) or not child.running, what="Haraka's greeting")
        if not child.running:
            raise RuntimeError(f"Haraka does not start: {child.text[-1000:]}")

    def __exit__(self, *exc: object) -> None:
        if self._child is not None and self._child.running:
            self._child.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def _package() -> Path:
    """Return the folder of Haraka's package, downloaded first if it is missing. Raises LeftOut if it cannot be had."""
    if find_program("node") is None:
        raise LeftOut("node is missing: install Debian's nodejs package")
    if reason := npm.downloaded(_PACKAGES):
        raise LeftOut(reason)
    return npm.folder_of(_PACKAGES) / "node_modules/Haraka"
