"""Foreign mail servers beside each other on one host: Debian's packages of them, unpacked and not installed.

Installed, each package would remove the others, because a host has one mail server. Unpacked into a folder of the cache
it needs a mount namespace that shows its files, its users and directories of its own where it expects them.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.daemon import ROOT
from harness.processes import find_program

CACHE = ROOT / ".cache" / "clients"
#: In the namespace: the unpacked package, and the home of the instance.
PACKAGE, HOME = Path("/opt"), Path("/mnt")

# Binds the paths that the program expects; $1 is the package, $2 the home. A host without a domain would
# cost Sendmail a minute.
_ENTER = """
set -e
mount --bind "$1" /opt
mount --bind "$2" /mnt
for folder in /run /var/spool /var/lib; do mount --bind "$2$folder" "$folder"; done
for file in passwd group hosts; do mount --bind "$2/$file" "/etc/$file"; done
mount -t proc proc /proc
hostname "{name}"
shift 2
"$@"
exit $?
"""
# The kernel ends all that was started in the namespaces when the tests are gone. The shell stays the first process
# there, because the kernel forgets that order for a process that changes its user.
_APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child")
#: The name of the host in the namespaces.
NAME = "server.example.test"


class NoPackageError(Exception):
    """A package cannot be used here; the message says why."""


def unpacked(package: str) -> Path:
    """Return the folder that holds a package and all it needs beyond this host. Raises NoPackageError.

    The first call downloads the package of the host's own Debian, so that the host's libraries fit it.
    """
    _require_tools()
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / package
    with _locked(CACHE / "lock"):
        if not folder.exists():
            _unpack(package, folder)
    return folder


def _require_tools() -> None:
    if os.geteuid() != 0:
        raise NoPackageError("only root may make the namespaces that an unpacked mail server needs")
    missing = [name for name in ("apt-get", "dpkg", "unshare", "setpriv") if find_program(name) is None]
    if missing:
        raise NoPackageError(f"not installed: {', '.join(missing)}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time in."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack(package: str, folder: Path) -> None:
    archives, new = folder.with_suffix(".archives"), folder.with_suffix(".new")
    for path in (archives, new):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    (archives / "partial").mkdir()
    options = ["--download-only", "--reinstall", "--yes", "--no-install-recommends", "-qq"]
    _run(["apt-get", "install", *options, "-o", f"Dir::Cache::Archives={archives}/", package], package)
    for archive in archives.glob("*.deb"):
        _run(["dpkg", "--extract", str(archive), str(new)], package)
    shutil.rmtree(archives)
    new.rename(folder)


def _run(command: Sequence[str], package: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " / ".join((done.stdout + done.stderr).strip().splitlines()[-2:])
        raise NoPackageError(f"{package} cannot be downloaded: {words}")


def prepare(home: Path, users: Sequence[str]) -> None:
    """Make the folders of a home and the host's tables of users with some more, numbered from 64001 on."""
    for folder in ("run", "var/spool", "var/lib"):
        (home / folder).mkdir(parents=True)
    numbers = range(64001, 64001 + len(users))
    for name, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
        more = "".join(line.format(user, number) for user, number in zip(users, numbers, strict=True))
        (home / name).write_text(Path("/etc", name).read_text() + more)
    (home / "hosts").write_text(f"127.0.0.1 {NAME} localhost\n")


def command_in(package: Path, home: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command of a package, with that home, in namespaces of its own."""
    return [*_APART, "sh", "-c", _ENTER.format(name=NAME), "sh", str(package), str(home), *command]
