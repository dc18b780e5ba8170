"""Packages of npm, which a clone downloads once."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from harness.daemon import ROOT
from harness.processes import find_program
from harness.waiting import PATIENCE

_CACHE = ROOT / ".cache" / "node"


def folder_of(packages: Iterable[str]) -> Path:
    """Return the folder in which `downloaded` puts these packages; others of their versions have another one."""
    return _CACHE / "+".join(packages).replace("/", "-")


@cache
def downloaded(packages: tuple[str, ...]) -> str | None:
    """Have packages, each with its version, in a folder together; return why they cannot be had, or None."""
    if find_program("npm") is None:
        return "npm is missing"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder_of(packages).exists():
            return None
        new = _CACHE / "new"
        # A download that was cut may have left some.
        shutil.rmtree(new, ignore_errors=True)
        if reason := _download(packages, new):
            return f"npm cannot download {', '.join(packages)}: {reason}"
        new.rename(folder_of(packages))
    return None


def _download(packages: Iterable[str], folder: Path) -> str:
    """Have npm put packages into a folder; return its words if it fails, or ""."""
    options = ["--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]
    try:
        done = subprocess.run(
            ["npm", "install", *options, "--prefix", str(folder), *packages],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env={**os.environ, "HOME": "/nonexistent"},
        )
    except subprocess.TimeoutExpired:
        return f"it takes more than {PATIENCE:.0f} s"
    words = " / ".join((done.stdout + done.stderr).strip().splitlines())[:200]
    return words or f"exit status {done.returncode}" if done.returncode else ""
