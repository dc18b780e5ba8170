"""Packages of npm, which a clone downloads once."""

import fcntl
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.daemon import ROOT
from harness.processes import find_program
from harness.waiting import PATIENCE

_CACHE = ROOT / ".cache" / "node"


def folder_of(name: str) -> Path:
    """Return the folder in which `downloaded` puts packages under a name."""
    return _CACHE / name


@cache
def downloaded(name: str, packages: Sequence[str]) -> str | None:
    """Have packages, each with its version, under a name; return why they cannot be had, or None."""
    if find_program("npm") is None:
        return "npm is missing"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder_of(name).exists():
            return None
        new = _CACHE / "new"
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]
        done = subprocess.run(
            ["npm", "install", "--silent", *options, "--prefix", str(new), *packages],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env={**os.environ, "HOME": "/nonexistent"},
        )
        if done.returncode:
            output = (done.stdout + done.stderr).split()
            return f"npm cannot download {', '.join(packages)}: {' / '.join(output)[-200:]}"
        new.rename(folder_of(name))
    return None
