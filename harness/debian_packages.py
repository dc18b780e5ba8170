"""Debian's packages in a folder of the cache, unpacked and not installed, for programs that tests run from there.

Installed, mail servers would remove each other, and another release would replace the host's libraries.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.daemon import ROOT
from harness.processes import find_program, with_mounts

_ROOTS = ROOT / ".cache" / "roots"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class NoPackageError(Exception):
    """A package cannot be used here; the message says why."""


def require_tools() -> None:
    """Raise NoPackageError where packages cannot be downloaded or run."""
    if os.geteuid() != 0:
        raise NoPackageError("only root may make the namespaces that an unpacked program needs")
    missing = [name for name in ("apt-get", "dpkg", "unshare", "setpriv") if find_program(name) is None]
    if missing:
        raise NoPackageError(f"not installed: {', '.join(missing)}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unpack(packages: Sequence[str], folder: Path, options: Sequence[str] = ()) -> None:
    """Make a folder of packages and of all that they need and the host lacks. Raises NoPackageError.

    `options` of apt may name another system than the host.
    """
    archives, new = folder.with_suffix(".archives"), folder.with_suffix(".new")
    for path in (archives, new):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    (archives / "partial").mkdir()
    usual = ["--download-only", "--yes", "--no-install-recommends", "-qq", "-o", f"Dir::Cache::Archives={archives}/"]
    _run(["apt-get", "install", *usual, *options, *packages], packages[0])
    for archive in archives.glob("*.deb"):
        _run(["dpkg", "--extract", str(archive), str(new)], packages[0])
    shutil.rmtree(archives)
    new.rename(folder)


def debian_root(suite: str, *packages: str) -> Path:
    """Return the root folder of a Debian with these packages, for `in_root`. Raises NoPackageError.

    The first call downloads them, in half a minute. No script of a package has run: there are no users, and no
    alternatives but awk.
    """
    require_tools()
    folder = _ROOTS / f"{suite}-{packages[0]}"
    with locked(_ROOTS / "lock"):
        if not folder.exists():
            _make_root(folder, suite, packages)
    return folder


def _make_root(folder: Path, suite: str, packages: Sequence[str]) -> None:
    if not _KEYS.exists():
        raise NoPackageError(f"{_KEYS} is missing: install debian-archive-keyring")
    with tempfile.TemporaryDirectory() as state:
        sources = Path(state, "sources.list")
        sources.write_text(f"deb [signed-by={_KEYS}] {_mirror()} {suite} main\n")
        Path(state, "status").touch()
        places = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State": state,
            "Dir::State::Status": f"{state}/status",
            "Dir::Cache": state,
            # apt gives up root's rights for downloads, and its user may not enter here.
            "APT::Sandbox::User": "root",
        }
        options = [word for name, value in places.items() for word in ("-o", f"{name}={value}")]
        _run(["apt-get", "update", "-qq", *options], suite)
        # Packages do not name those that each Debian has.
        unpack([*packages, "?essential", "mawk"], folder, options)
    (folder / "usr/bin/awk").symlink_to("mawk")


def _mirror() -> str:
    """Return the mirror from which this host's apt takes Debian."""
    for site in _run(["apt-get", "indextargets", "--format", "$(SITE)"], "Debian").splitlines():
        if re.search(r"/debian/?$", site):
            return site
    raise NoPackageError("apt has no mirror of Debian: add one to its sources")


def in_root(root: Path, shown: Mapping[str, Path]) -> list[str]:
    """Return a prefix for commands that run with this root, where these files and folders show the host's.

    The host's devices and users are shown as well.
    """
    shown = {**{path: Path(path) for path in ("/dev", "/etc/passwd", "/etc/group")}, **shown}
    for path, own in shown.items():
        here = root / path.lstrip("/")
        if own.is_dir():
            here.mkdir(parents=True, exist_ok=True)
        else:
            here.touch()
    return [*with_mounts({f"{root}{path}": own for path, own in shown.items()}), "chroot", str(root)]


def _run(command: Sequence[str], wanted: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " / ".join((done.stdout + done.stderr).strip().splitlines()[-2:])
        raise NoPackageError(f"{wanted} cannot be downloaded: {words}")
    return done.stdout
