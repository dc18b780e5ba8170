"""Writes requirements.txt beside it: the newest releases of setup.cfg's requirements and their requirements, pinned.

Run it with the image's version of Python, 3.13, then look at the difference: `python3.13 deploy/container/lock.py`.
The hashes are those of exactly the files that the image may install on one of its architectures.
"""

import configparser
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ARCHITECTURES = ("x86_64", "aarch64")
#: The base image's glibc is newer than any of these requires.
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
#: Published as source only. Their own requirements must be among those of setup.cfg.
SOURCES = {"dkimpy"}
#: Parts of the relay that not every installation needs.
EXTRAS = ("postgres",)
HEAD = "# Made by lock.py from setup.cfg, for Python 3.13 on {}. Not to be edited.\n"


def requirements() -> Iterator[str]:
    """Yield the requirements in setup.cfg, and those of the extras that the image has."""
    setup = configparser.ConfigParser()
    setup.read(HERE.parent.parent / "setup.cfg")
    wanted = [setup["options"]["install_requires"], *(setup["options.extras_require"][extra] for extra in EXTRAS)]
    for line in "\n".join(wanted).split("\n"):
        if line.strip():
            yield line.replace(" ", "")


def resolve(wanted: list[str], *options: str) -> Iterator[tuple[str, str]]:
    """Yield the pinned name and the hash of each file that pip would install."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    done = subprocess.run([*command, *options, *wanted], stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603  fixed arguments
    for item in json.loads(done.stdout)["install"]:
        metadata, archive = item["metadata"], item["download_info"]["archive_info"]
        name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
        yield f"{name}=={metadata['version']}", archive["hashes"]["sha256"]


def main() -> None:
    """Resolve for each architecture, and for the sources, and write the union."""
    if sys.version_info[:2] != (3, 13):
        raise SystemExit("lock.py: needs Python 3.13, the image's, because another version may choose other packages")
    everything = list(requirements())
    sources = [wanted for wanted in everything if re.split(r"[^\w-]", wanted)[0] in SOURCES]
    wheels = [wanted for wanted in everything if wanted not in sources]
    hashes: dict[str, set[str]] = defaultdict(set)
    for architecture in ARCHITECTURES:
        platforms = (f"--platform={platform}_{architecture}" for platform in PLATFORMS)
        for pinned, hash_ in resolve(wheels, "--only-binary=:all:", "--target=unused", *platforms):
            hashes[pinned].add(hash_)
    for pinned, hash_ in resolve(sources, "--no-deps", "--no-binary=:all:"):
        hashes[pinned].add(hash_)
    lines = [
        " \\\n    ".join((name, *(f"--hash=sha256:{one}" for one in sorted(hashes[name])))) for name in sorted(hashes)
    ]
    (HERE / "requirements.txt").write_text(HEAD.format(" and ".join(ARCHITECTURES)) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
