"""A small Debian in a folder, with one peer's package installed, and the way to run a program in it.

A program runs with the folder as its root, in mount and process namespaces of its own. The parts of the host that it
needs are bound into the folder, and all mounts and processes that it made end with it.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench.processes import family
from bench.server import LeftOut
from harness.processes import find_program, greets
from harness.waiting import until

SUITE = "trixie"
_NOTHING: Mapping[Path, Path] = {}
_INSTALL = """
set -e
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends {package}
apt-get clean
"""
# The kernel ends all of it after any end of the bench. The shell stays the first process, because the kernel forgets
# that order for a process that changes its user.
_APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
_ENTER = """
set -e
root=$1; shift
while [ "$1" != -- ]; do
    [ -e "$root$2" ] || if [ -d "$1" ]; then mkdir -p "$root$2"; else touch "$root$2"; fi
    mount --bind "$1" "$root$2"
    shift 2
done
shift
mount -t proc proc "$root/proc"
chroot "$root" "$@"
exit $?
"""


def folder_with(cache: Path, package: str) -> Path:
    """Return the Debian that has a package, made first if the cache lacks it. Raises LeftOut if that fails."""
    if reason := _why_not(cache, package):
        raise LeftOut(reason)
    folder = cache / f"{SUITE}-{package}"
    if not folder.exists():
        _make(cache, folder, package)
    return folder


def _why_not(cache: Path, package: str) -> str | None:
    if os.geteuid() != 0:
        return "it runs in a folder of its own, which takes root"
    if (cache / f"{SUITE}-{package}").exists():
        return None
    missing = [name for name in ("debootstrap", "unshare", "setpriv") if find_program(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def _make(cache: Path, folder: Path, package: str) -> None:
    print(f"making a Debian {SUITE} with {package} in {folder}: this once, one minute or two", flush=True)
    base, new = cache / SUITE, folder.with_suffix(".new")
    cache.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)
    try:
        if not base.exists():
            _debootstrap(base)
        _run(["cp", "--archive", "--reflink=auto", str(base), str(new)])
        shutil.copy("/etc/resolv.conf", new / "etc/resolv.conf")
        _run(command_in(new, ["sh", "-c", _INSTALL.format(package=package)]))
    except (OSError, subprocess.SubprocessError) as error:
        raise LeftOut(f"no Debian with {package} could be made in {cache}: {error}") from None
    new.rename(folder)


def _debootstrap(base: Path) -> None:
    """Make the folder both peers begin with; DEBIAN_MIRROR says from where, debootstrap knows a place of its own."""
    mirror = os.environ.get("DEBIAN_MIRROR")
    new = base.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    _run(["debootstrap", "--variant=minbase", SUITE, str(new), *([mirror] if mirror else [])])
    new.rename(base)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        words = " / ".join(done.stdout.strip().splitlines()[-3:])
        raise OSError(f"{command[0]} failed: {words}")


def command_in(folder: Path, command: Sequence[str], bound: Mapping[Path, Path] = _NOTHING) -> list[str]:
    """Return the command line that runs a command in a Debian; `bound` maps paths of the host to paths in it."""
    bindings = (str(path) for pair in bound.items() for path in pair)
    return [*_APART, "sh", "-c", _ENTER, "sh", str(folder), *bindings, "--", *command]


def start_server(name: str, command: Sequence[str], port: int, output: Path) -> "subprocess.Popen[bytes]":
    """Start what `command_in` returned and wait for its greeting on a port. Raises RuntimeError with its last words."""
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        until(lambda: greets(port) or process.poll() is not None, what=f"{name}'s greeting")
    except BaseException:
        end(process)
        raise
    if process.poll() is not None:
        raise RuntimeError(f"{name} does not start: {output.read_text(errors='replace')[-1000:]}")
    return process


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a program of `command_in`: the kernel ends all others with the first process, and then tells the parent."""
    for first in [*family(process.pid)][1:2]:
        with suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def owner_in(folder: Path, user: str) -> tuple[int, int]:
    """Return the numbers of a user of a Debian and of its group."""
    lines = (folder / "etc/passwd").read_text().splitlines()
    fields = next(line.split(":") for line in lines if line.startswith(f"{user}:"))
    return int(fields[2]), int(fields[3])


def version(cache: Path, package: str) -> str:
    """Return the version of a package in its folder, or "none" if there is no such folder."""
    folder = cache / f"{SUITE}-{package}"
    if not folder.exists():
        return "none"
    entries = (folder / "var/lib/dpkg/status").read_text().split("\n\n")
    entry = next((entry for entry in entries if entry.startswith(f"Package: {package}\n")), "")
    return next((line.removeprefix("Version: ") for line in entry.splitlines() if line.startswith("Version: ")), "none")
