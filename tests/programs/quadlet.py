"""Podman's generator of systemd units: the host's own, or that of Debian's package, downloaded once and unpacked."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.daemon import ROOT
from harness.processes import find_program
from harness.waiting import PATIENCE
from tests.image.base import mirror

_CACHE = ROOT / ".cache" / "quadlet"
# Debian 12's Podman has none.
_SUITE = "trixie"
_PROGRAM = "usr/libexec/podman/quadlet"
_HOST = Path("/", _PROGRAM)


class NoQuadletError(Exception):
    """The program cannot be had here; the message says why."""


def quadlet() -> Path:
    """Return the path of the generator. Raises NoQuadletError."""
    if _HOST.exists():
        return _HOST
    lacking = _lacking()
    if lacking is not None:
        raise NoQuadletError(lacking)
    return _CACHE / "podman" / _PROGRAM


@cache
def _lacking() -> str | None:
    """Have the package in its folder; return why it cannot be had, or None. A failure is not tried again."""
    if os.geteuid() != 0 or any(find_program(name) is None for name in ("apt-get", "dpkg")):
        return "install Debian's package podman, of Debian 13 or newer"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = _CACHE / "podman"
        if not folder.exists():
            new = _CACHE / "new"
            shutil.rmtree(new, ignore_errors=True)
            try:
                _unpack(new)
            except (NoQuadletError, subprocess.TimeoutExpired) as error:
                return str(error)
            new.rename(folder)
    return None


def _unpack(folder: Path) -> None:
    """Download the package of that suite, whose signature apt has checked, without a change of the host's own lists."""
    apt = folder / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    sources = apt / "sources.list"
    try:
        sources.write_text(f"deb {mirror()} {_SUITE} main\n")
    except RuntimeError as error:
        raise NoQuadletError(str(error)) from None
    places = {"Etc::SourceList": sources, "Etc::SourceParts": "/dev/null", "State::Lists": apt / "lists"}
    places |= {"Cache": apt / "cache"}
    options = ["-oAcquire::Retries=0", *(f"-oDir::{name}={place}" for name, place in places.items())]
    _run(["apt-get", *options, "-qq", "update"], folder)
    _run(["apt-get", *options, "-qq", "download", "podman"], folder)
    (package,) = folder.glob("*.deb")
    _run(["dpkg", "--extract", str(package), str(folder)], folder)
    package.unlink()
    shutil.rmtree(apt)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    if done.returncode:
        words = " / ".join((done.stdout + done.stderr).strip().splitlines()[-2:])
        raise NoQuadletError(f"Debian's package podman cannot be downloaded: {words}")
