"""The image, built and kept by buildah without a daemon, a registry or namespaces of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.image import base

TAG = "smtprelay:test"
_SECONDS = 900


class Buildah:
    """One store of images in a folder. All commands end within a quarter of an hour."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

    def command(self, *words: str) -> list[str]:
        """Return the command line of a buildah command on this store."""
        where = [f"--root={self._store / 'root'}", f"--runroot={self._store / 'run'}", "--storage-driver=vfs"]
        return ["buildah", *where, *words]

    def __call__(self, *words: str) -> str:
        """Run a command and return its output. Raises RuntimeError with the end of its error output."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"buildah {words[0]}: {done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done.stdout.strip()

    def import_base(self, archive: Path) -> None:
        """Make the base image from a tar file."""
        container = self("from", "scratch")
        self("add", container, str(archive), "/")
        self("commit", "--rm", container, base.NAME)

    def build(self, context: Path, configuration: Path) -> None:
        """Build the Dockerfile of a folder with this machine's way to pip's packages (see `pip_configuration`)."""
        volumes = (f"{configuration}:/run/pip:ro", f"{configuration / 'pip.conf'}:/etc/pip.conf:ro")
        self("bud", "--format=docker", "--pull-never", *(f"--volume={one}" for one in volumes), "-t", TAG, str(context))

    @contextmanager
    def container(self, image: str) -> Iterator[tuple[str, Path]]:
        """Make a container of an image; gives its name and the folder with its root file system."""
        name = self("from", "--pull-never", image)
        try:
            yield name, Path(self("mount", name))
        finally:
            self("rm", name)

    def configuration(self, image: str) -> dict[str, Any]:
        """Return the configuration of the image, in the form of Docker."""
        inspected: dict[str, Any] = json.loads(self("inspect", "--type=image", image))["Docker"]["config"]
        return inspected


def pip_configuration(folder: Path) -> Path:
    """Write a pip.conf that leads to packages as this machine's pip does, its authorities beside it."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    known = dict(line.split("=", 1) for line in done.stdout.splitlines())
    settings = {name.rpartition(".")[2]: value.strip("'") for name, value in known.items()}
    lines = [
        f"{name} = {settings[name]}" for name in ("index-url", "proxy", "trusted-host", "timeout") if name in settings
    ]
    folder.mkdir(parents=True, exist_ok=True)
    if "cert" in settings:
        (folder / "authorities.pem").write_bytes(Path(settings["cert"]).read_bytes())
        lines.append("cert = /run/pip/authorities.pem")
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    return folder


def disk_usage(folder: Path) -> int:
    """Return the octets that a folder takes, in apparent size and without other file systems."""
    done = subprocess.run(["du", "-sxb", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def words_of(configuration: dict[str, Any]) -> Sequence[str]:
    """Return the command line that the image starts with."""
    return [*(configuration.get("Entrypoint") or ()), *(configuration.get("Cmd") or ())]
