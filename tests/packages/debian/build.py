"""Builds the Debian packages that these tests install, in a Debian of its own.

`python -m tests.packages.debian.build FOLDER [--only-current]` needs root, debootstrap, systemd-container and the
network. It makes in FOLDER: `debian`, a small Debian; `builder`, one with the tools; `current`, the package of this
source, and a copy of it as `smtprelay.deb`; `before`, that of the release before; `lintian.txt`; and `repository`, the
packages that they need, for a machine without the network. Only `current` and `lintian.txt` are made anew each time.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mta import __version__
from tests.systemd.debian import NSPAWN, ROOT, copy_bare, folder_with_debian, make_once

#: The machine has no Python, and no mail server, as a fresh Debian.
PACKAGES = ("systemd", "dbus")
TOOLS = ("dpkg-dev", "lintian", "apt-utils")
#: Packages that the tests install beside the relay's.
OTHERS = ("bsd-mailx", "msmtp-mta", "cron")
#: The commit of the release before. Its queue files are older, so that an upgrade has something to do.
BEFORE = "0e0a22d6"
#: Sorts below each package of this version.
BEFORE_VERSION = f"{__version__}~before"

# That release had no `smtprelay run`.
_UNIT_BEFORE = "Environment=PYTHONPATH=/usr/share/smtprelay\\nExecStart=/usr/bin/twistd3 -n --pidfile= smtprelay"
_BUILD = """
set -eu
cd /build/smtprelay
dpkg-buildpackage --build=binary --no-sign >/build/log 2>&1 || { tail -n 60 /build/log; exit 1; }
"""
_REPOSITORY = """
set -eu
apt-get update -qq
apt-get install --yes --download-only --no-install-recommends /current/*.deb >/dev/null
apt-get install --yes --download-only --no-install-recommends %s >/dev/null
"""


def main() -> None:
    """Complete the folder that the command line names."""
    folder = folder_with_debian(sys.argv[1], PACKAGES)
    make_once(folder / "builder", partial(_make_builder, folder))
    _build(folder, "current", _current_source)
    (package,) = (folder / "current").glob("*.deb")
    shutil.copy(package, folder / "smtprelay.deb")
    print(f"the package is {folder}/smtprelay.deb")
    if "--only-current" in sys.argv:
        return
    (folder / "lintian.txt").write_text(_lintian(folder))
    if not (folder / "before").exists():
        _build(folder, "before", _source_before)
    make_once(folder / "repository", partial(_gather, folder))


def _make_builder(folder: Path, new: Path) -> None:
    """Make a Debian that builds packages."""
    copy_bare(folder, new)
    (new / "build" / "debian").mkdir(parents=True)
    shutil.copy(ROOT / "debian" / "control", new / "build" / "debian")
    _run(
        new,
        f"apt-get update -qq && apt-get install -qq --yes --no-install-recommends {' '.join(TOOLS)} >/dev/null"
        " && apt-get build-dep -qq --yes --no-install-recommends /build >/dev/null",
    )


def _run(root: Path, script: str, *bindings: str) -> str:
    """Run shell lines as root in a Debian, with the host's network, and return their output. They must succeed."""
    options = [f"--machine=packages-{os.getpid()}", f"--directory={root}", "--setenv=DEBIAN_FRONTEND=noninteractive"]
    command = [*NSPAWN, *options, *(f"--bind={binding}" for binding in bindings), "sh", "-c", script]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False, timeout=1800
    )
    if done.returncode:
        sys.exit(f"in {root}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def _build(folder: Path, name: str, make_source: Callable[[Path], None]) -> None:
    """Build a package and leave it in the folder of this name, with the log of the build."""
    print(f"building the package {name}")
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    source = work / "smtprelay"
    source.mkdir(parents=True)
    make_source(source)
    _run(folder / "builder", _BUILD, f"{work}:/build")
    shutil.rmtree(source)
    shutil.rmtree(folder / name, ignore_errors=True)
    work.rename(folder / name)


def _current_source(source: Path) -> None:
    """Copy the files of this source that Git knows, or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)


def _source_before(source: Path) -> None:
    """Make the source of the release before, with today's debian/."""
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x"], cwd=source, input=archive.stdout, check=True)
    shutil.rmtree(source / "debian", ignore_errors=True)
    shutil.copytree(ROOT / "debian", source / "debian")
    changelog = source / "debian" / "changelog"
    changelog.write_text(re.sub(r"\(.*?\)", f"({BEFORE_VERSION})", changelog.read_text(), count=1))
    rules = source / "debian" / "rules"
    rules.write_text(
        rules.read_text()
        .replace("s,^ExecStart=.*,ExecStart=/usr/bin/smtprelay run,", f"s,^ExecStart=.*,{_UNIT_BEFORE},")
        .replace("'ExecStart=/usr/bin/smtprelay run'", "'ExecStart=/usr/bin/twistd3 .*'")
    )


def _lintian(folder: Path) -> str:
    """Return all that lintian has to say about the package, without its hints."""
    script = "lintian --allow-root --tag-display-limit 0 --pedantic --display-info /current/*.changes || true"
    return _run(folder / "builder", script, f"{folder}/current:/current")


def _gather(folder: Path, new: Path) -> None:
    """Make the repository of the packages that the tests install."""
    new.mkdir()
    scratch = folder / "scratch"
    copy_bare(folder, scratch)
    _run(scratch, _REPOSITORY % " ".join(OTHERS), f"{folder}/current:/current")
    for package in (scratch / "var/cache/apt/archives").glob("*.deb"):
        shutil.copy(package, new)
    shutil.rmtree(scratch)
    _run(folder / "builder", "cd /repository && apt-ftparchive packages . >Packages", f"{new}:/repository")


if __name__ == "__main__":
    main()
