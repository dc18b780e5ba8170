"""The image, built and kept by buildah without a daemon, a registry or namespaces of its own."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.image import base

TAG = "smtprelay:test"
_SECONDS = 900
# A build for an emulated processor takes this long on a busy machine.
_PLATFORM_SECONDS = 3000


class Buildah:
    """One store of images in a folder. All commands end within 15 minutes, builds for a platform within 50."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

    def command(self, *words: str) -> list[str]:
        """Return the command line of a buildah command on this store."""
        where = [f"--root={self._store / 'root'}", f"--runroot={self._store / 'run'}", "--storage-driver=vfs"]
        return ["buildah", *where, *words]

    def __call__(self, *words: str, seconds: float = _SECONDS) -> str:
        """Run a command and return its output. Raises RuntimeError with the end of its error output."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"buildah {words[0]}: {done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done.stdout.strip()

    def import_base(self, archive: Path, platform: str = "") -> None:
        """Make the base image from a tar file, for a platform such as `linux/arm/v7`; by default for this machine."""
        container = self("from", "scratch")
        self("add", container, str(archive), "/")
        if platform:
            _, architecture, variant = f"{platform}/".split("/")[:3]
            self("config", "--arch", architecture, *(["--variant", variant] if variant else []), container)
        self("commit", "--rm", container, base.NAME)

    def build(
        self, context: Path, platform: str = "", volumes: Mapping[Path, str] | None = None, **arguments: str
    ) -> None:
        """Build the Dockerfile of a folder, with these build arguments, and folders of this machine mounted."""
        options = [f"--build-arg={name}={text}" for name, text in arguments.items()]
        options += [f"--volume={folder}:{inside}:ro" for folder, inside in (volumes or {}).items()]
        options += [f"--platform={platform}"] if platform else []
        seconds = _PLATFORM_SECONDS if platform else _SECONDS
        self("bud", "--format=docker", "--pull-never", *options, "-t", TAG, str(context), seconds=seconds)

    def layers(self, image: str) -> list[str]:
        """Return the digest of the content of each layer."""
        inspected: dict[str, Any] = json.loads(self("inspect", "--type=image", image))
        digests: list[str] = inspected["OCIv1"]["rootfs"]["diff_ids"]
        return digests

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


def disk_usage(folder: Path) -> int:
    """Return the octets that a folder takes, in apparent size and without other file systems."""
    done = subprocess.run(["du", "-sxb", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def words_of(configuration: dict[str, Any]) -> Sequence[str]:
    """Return the command line that the image starts with."""
    return [*(configuration.get("Entrypoint") or ()), *(configuration.get("Cmd") or ())]
