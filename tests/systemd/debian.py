"""Makes the machine that these tests boot: a small Debian, and wheels of the relay's dependencies.

`python -m tests.systemd.debian FOLDER` needs root, debootstrap, systemd-container and the network. Parts that exist
already stay as they are.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from configparser import ConfigParser
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SUITE = "trixie"
PACKAGES = ("systemd", "dbus", "python3", "python3-venv", "ca-certificates")
#: Where the packages come from; debootstrap knows a place of its own.
MIRROR = os.environ.get("DEBIAN_MIRROR")
#: The sources of the installation: all paths that setup.cfg names.
SOURCE = ("mta", "queue_schema", "twisted", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "deploy")
#: Runs a program or boots in a folder, beside a systemd of the host's or without one.
NSPAWN = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe")

_WHEELS = """
set -e
python3 -m venv /tmp/venv
/tmp/venv/bin/pip wheel -qq --wheel-dir /wheels /usr/src/smtprelay 'setuptools>=65'
rm -r /tmp/venv /wheels/smtprelay-*
"""


def main() -> None:
    """Complete the folder that the command line names."""
    _make_wheels(folder_with_debian(sys.argv[1], PACKAGES))


def folder_with_debian(path: str, packages: Sequence[str]) -> Path:
    """Return the folder of this path, which has a small Debian with these packages in `debian`; or end the program."""
    folder = Path(path).resolve()
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes a Debian in a folder")
    if missing := [name for name in ("debootstrap", "systemd-nspawn") if shutil.which(name) is None]:
        sys.exit(f"not installed: {', '.join(missing)}; try apt-get install debootstrap systemd-container")
    folder.mkdir(parents=True, exist_ok=True)
    make_once(folder / "debian", partial(_make_debian, packages))
    return folder


def make_once(place: Path, make: Callable[[Path], None]) -> None:
    """Make a folder, unless it exists. `make` gets another path, so that a folder cut short is made again."""
    if place.exists():
        return
    print(f"making {place}")
    new = place.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    make(new)
    new.rename(place)


def _make_debian(packages: Sequence[str], new: Path) -> None:
    subprocess.run(
        [
            *("debootstrap", "--variant=minbase", f"--include={','.join(packages)}", SUITE, str(new)),
            *([MIRROR] if MIRROR else []),
        ],
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=1200,
    )


def _make_wheels(folder: Path) -> None:
    wheels, stamp = folder / "wheels", folder / "wheels" / "made-for"
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"]
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"gathering wheels in {wheels}")
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    scratch = folder / "scratch"
    copy_debian(folder, scratch)
    bindings = [f"--bind={wheels}:/wheels", *_pip_as_here()]
    command = [*NSPAWN, f"--machine=wheels-{os.getpid()}", f"--directory={scratch}", *bindings, "sh", "-c", _WHEELS]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=600)
    shutil.rmtree(scratch)
    stamp.write_text(wanted)


def _pip_as_here() -> Iterator[str]:
    """Yield the options that let pip in the folder find packages as pip here does: its settings and certificates."""
    settings = {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
    yield from (f"--setenv={name}={text}" for name, text in settings.items())
    files = {"/etc/pip.conf": "/etc/pip.conf", str(Path.home() / ".config/pip/pip.conf"): "/root/.config/pip/pip.conf"}
    if certificates := settings.get("PIP_CERT"):
        files[certificates] = certificates
    yield from (f"--bind-ro={here}:{there}" for here, there in files.items() if Path(here).exists())


def copy_bare(folder: Path, copy: Path) -> None:
    """Make a copy of the Debian, in place of an earlier one."""
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "--archive", "--reflink=auto", str(folder / "debian"), str(copy)], check=True)


def copy_debian(folder: Path, copy: Path) -> None:
    """Make a copy of the Debian with the relay's source in it, in place of an earlier one."""
    copy_bare(folder, copy)
    source = copy / "usr/src/smtprelay"
    source.mkdir(parents=True)
    for name in SOURCE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)


if __name__ == "__main__":
    main()
