"""A disk whose power a test can cut: starts `tests.programs.power_disk_server` and talks to it."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from harness.processes import Child
from harness.waiting import PATIENCE, until
from tests.programs.small_disk import NoDiskError, unmounting

ROOT = Path(__file__).parent.parent.parent


class PowerDisk:
    """A mounted disk in a folder of its own; ends with the `with` block. Raises NoDiskError, saying why, without FUSE.

    Every command of the disk is a method.
    """

    def __init__(self, folder: Path) -> None:
        self.mount = folder / "disk"
        self.mount.mkdir(parents=True)
        self._control = folder / "power"
        command = [sys.executable, "-m", "tests.programs.power_disk_server", str(self.mount), str(self._control)]
        self._child = Child(command, folder / "disk.log", {**os.environ, "PYTHONPATH": str(ROOT)})

    def __enter__(self) -> Self:
        _require_fuse()
        self._child.start()
        until(lambda: self.mount.is_mount() or not self._child.running, what="the mount of a disk")
        if not self._child.running:
            raise NoDiskError(f"mounting is not permitted: {self._child.text.strip()}")
        return self

    def __exit__(self, *exc: object) -> None:
        subprocess.run(unmounting(str(self.mount)), check=False, capture_output=True)
        if self._child.running:
            self._child.stop()

    def cut(self) -> None:
        """Cut the power: every operation fails from now on."""
        self._tell("cut")

    def on(self, seed: int | None = None) -> None:
        """Bring the power back. The programs that used the disk must have ended."""
        self._tell("on" if seed is None else f"on {seed}")

    def lie(self) -> None:
        """Let syncs succeed without making any octet durable."""
        self._tell("lie")

    def slow(self, seconds: float) -> None:
        """Have each sync take so many seconds longer."""
        self._tell(f"slow {seconds}")

    def fail(
        self, verb: str, number: int = 1, error: int = errno.EIO, name: str = "*", *, lasting: bool = False
    ) -> None:
        """Have the `number`-th operation from now on fail, and with `lasting` all that follow."""
        self._tell(f"fail {verb} {number} {errno.errorcode[error]} {'on' if lasting else 'once'} {name}")

    def heal(self) -> None:
        """End all ordered failures."""
        self._tell("heal")

    def seen(self) -> dict[str, int]:
        """Return how often each verb came since the last `fail` or `heal`."""
        counts: dict[str, int] = json.loads(self._tell("seen"))
        return counts

    def _tell(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self._control))
            with connection.makefile("rw") as lines:
                lines.write(f"{line}\n")
                lines.flush()
                answer = lines.readline().strip()
        if not answer:
            raise RuntimeError(f"the disk did not do it: {line}: {self._child.text[-2000:]}")
        return answer


def _require_fuse() -> None:
    if not Path("/dev/fuse").exists():
        raise NoDiskError("there is no /dev/fuse")
    if shutil.which("fusermount3") is None:
        raise NoDiskError("there is no fusermount3: install fuse3")
    if find_spec("mfusepy") is None:
        raise NoDiskError("there is no mfusepy")
