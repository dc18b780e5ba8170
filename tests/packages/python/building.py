"""Builds the Python package from a copy of the files that the repository keeps."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.daemon import ROOT
from harness.processes import find_program

# Any fixed time makes the files of two builds comparable.
_TIME = "1767225600"


@dataclass(frozen=True)
class Built:
    """The package as files."""

    wheel: Path
    archive: Path


def kept_files() -> set[str]:
    """Return the paths of all files that the repository keeps or is about to keep. Skips without git."""
    git = find_program("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository, or git is not installed")
    command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {path for path in listed.split("\0") if path and (ROOT / path).is_file()}


def copy_of(files: set[str], folder: Path) -> Path:
    """Copy files of the project into a new folder and return it."""
    for path in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((ROOT / path).read_bytes())
        (folder / path).chmod((ROOT / path).stat().st_mode)
    return folder


def build(source: Path, out: Path, *options: str) -> None:
    """Build the archive of the source and, from it, the wheel. Skips if the extra `release` is missing."""
    for module in ("build", "twine", "setuptools"):
        pytest.importorskip(module, reason="needs: pip install -e '.[release]'")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *options, str(source)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _TIME}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def found_in(folder: Path) -> Built:
    """Return the package that lies in a folder."""
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, archive)
