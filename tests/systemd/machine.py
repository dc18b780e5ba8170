"""A machine of its own: a folder with a Debian, booted with its systemd."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Self

from harness.processes import Child
from harness.waiting import until
from tests.systemd.debian import NSPAWN, copy_debian

_BOOT_SECONDS = 60
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")


class Machine:
    """Runs from `with` to its end and forgets everything. It shares the network of the process that starts it."""

    def __init__(
        self,
        folder: Path,
        *,
        bound: str = "wheels",
        prepare: Callable[[Path, Path], None] = copy_debian,
        directory: str = "/usr/src/smtprelay",
    ) -> None:
        """`folder` has the Debian that tests.systemd.debian has made; `prepare` copies it to another path.

        The folder `bound` beside it appears in the root of the machine. Programs run in `directory`.
        """
        self.root = folder / f"machine-{os.getpid()}"
        self._directory = directory
        prepare(folder, self.root)
        options = [f"--machine={self.root.name}", f"--directory={self.root}", f"--bind-ro={folder}/{bound}:/{bound}"]
        self._child = Child([*NSPAWN, "--boot", *options], folder / "boot.log")

    def __enter__(self) -> Self:
        self._child.start()
        try:
            until(self._is_up, _BOOT_SECONDS, what=f"the end of the boot; {self._child.output} may say more")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        # nspawn turns SIGTERM into a shutdown, and takes its machine along if it must be killed.
        self._child.stop(30)
        shutil.rmtree(self.root)

    def run(self, *command: str, check: bool = True, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a program inside as root. With `check` it must succeed."""
        entering = ["nsenter", f"--target={self._leader()}", *_NAMESPACES, "env", f"--chdir={self._directory}"]
        environ = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/wheels",
            "PIP_QUIET": "1",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        done = subprocess.run(
            [*entering, *command],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def shell(self, script: str, seconds: float = 60) -> str:
        """Run shell lines inside and return their output. Every line must succeed."""
        return self.run("sh", "-euc", script, seconds=seconds).stdout

    def write(self, path: str, text: str) -> None:
        """Put a file inside; its folder is made."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def _leader(self) -> int:
        """Return the host's process id of its process 1. Raises TimeoutError."""
        children = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children")
        return int(until(lambda: children.read_text().split(), 10, what="the machine's first process")[0])

    def _is_up(self) -> bool:
        if not self._child.running:
            raise RuntimeError(f"the machine does not boot: {self._child.text[-2000:]}")
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}
