"""The image run as a container: by buildah, or locked up as a strict cluster would."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.daemon import Daemon
from harness.processes import Child
from harness.waiting import until
from tests.image.buildah import Buildah

#: Whom the image runs as.
USER = 10025
QUEUE = "/var/spool/smtprelay"
# The restrictions of a container: no rights and no new ones, the volume as the only writable place, and process id 1.
_LOCK_UP = """\
set -e
mount --bind "$1" "$1"
mount --bind "$2" "$1/var/spool/smtprelay"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -o remount,bind,ro "$1"
root=$1
shift 2
exec chroot "$root" setpriv "$@"
"""


class Container(Daemon):
    """One container with a queue of its own that outlives it. `settings` stand over the ones that tests give."""

    def __init__(
        self,
        buildah: Buildah,
        name: str,
        home: Path,
        *,
        start: Sequence[str],
        mounts: Mapping[Path, str] | None = None,
        **settings: str,
    ) -> None:
        super().__init__(home, **settings)
        self._buildah = buildah
        self._name = name
        self._mounts = {prepared(home / "queue"): QUEUE, **(mounts or {})}
        self.child = Child(self.inside(*start), home / "log", buildah.environment)

    def queue(self) -> list[dict[str, Any]]:
        """Return the output of `smtprelay queue list --json` in the container, which runs as the owner of the queue."""
        done = self.tool("queue", "list", "--json")
        assert done.returncode == 0, done.stderr
        listed: list[dict[str, Any]] = json.loads(done.stdout)
        return listed

    def inside(self, *words: str) -> list[str]:
        """Return the command line that runs a program in the container, with its settings and mounts."""
        volumes = (f"--volume={path}:{inside}" for path, inside in self._mounts.items())
        return self._buildah.command(
            "run", "--isolation=chroot", *volumes, *_as_options(self.environment), self._name, "--", *words
        )

    def tool(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the operator's command in the container."""
        return self.run("smtprelay", *arguments)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run any program in the container."""
        return subprocess.run(
            self.inside(*words),
            env=self._buildah.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def daemon(self) -> int:
        """The process id of the relay itself, as this machine counts."""
        return daemon_of(self.child.pid)

    def stop(self) -> int:
        """Ask the relay to end and wait until its container has."""
        os.kill(self.daemon, signal.SIGTERM)
        try:
            return self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End the relay as a power cut would."""
        if self.child.running:
            os.kill(self.daemon, signal.SIGKILL)
            self.child.wait(30)


class LockedUp(Child):
    """A container made by unshare, which goes when its process 1 does; unshare's own end is not noticed by that."""

    def stop(self, seconds: float = 20) -> int:
        """Ask the relay to end and return its exit status."""
        os.kill(daemon_of(self.pid), signal.SIGTERM)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the relay at once."""
        os.kill(daemon_of(self.pid), signal.SIGKILL)
        return self.wait()


def locked_up(
    root: Path,
    home: Path,
    *start: str,
    user: int,
    group: int = 0,
    rights: Sequence[str] = ("--bounding-set=-all", "--no-new-privs"),
    network: bool = True,
    **settings: str,
) -> "LockedUp":
    """Return a container that sees only the image, read-only, and its volume; its process id is 1.

    `rights` are options of setpriv (util-linux). Without `network` it has an own, unreachable one.
    """
    apart = ["--mount", "--pid", *([] if network else ["--net"]), "--fork", "--kill-child"]
    script = ["sh", "-c", _LOCK_UP, "sh", str(root), str(prepared(home / "queue"))]
    who = (f"--reuid={user}", f"--regid={group}", "--clear-groups")
    environment = [f"{name}={value}" for name, value in settings.items()]
    return LockedUp(["unshare", *apart, *script, *rights, *who, "env", "-i", *environment, *start], home / "log")


def daemon_of(ancestor: int) -> int:
    """Return the process id of the relay among the descendants of a process."""
    return until(lambda: next(_daemons(ancestor), 0), what="the relay's process")


def resident(pid: int) -> int:
    """Return the octets of memory that a process has in use."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def prepared(queue: Path) -> Path:
    """Return the folder of a queue that any user of group 0 may write, as cluster and Docker volumes are."""
    queue.mkdir(parents=True, exist_ok=True)
    queue.chmod(0o770)
    return queue


def _daemons(ancestor: int) -> Any:
    parents = dict(_processes())
    for pid in parents:
        above = pid
        while above > 1 and above != ancestor:
            above = parents.get(above, 0)
        if above == ancestor and b"smtprelay\0run" in _command(pid):
            yield pid


def _processes() -> Any:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        yield int(stat.parent.name), int(fields[1])


def _command(pid: int) -> bytes:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
    # buildah's own command line names everything that it starts.
    return b"" if b"buildah" in command or b"setpriv" in command else command


def _as_options(environment: Mapping[str, str]) -> list[str]:
    ours = ("PATH", "PYTHONPATH", "QUEUE_DIR", "MAIL_DIR")
    return [f"--env={name}={value}" for name, value in environment.items() if name not in ours]
