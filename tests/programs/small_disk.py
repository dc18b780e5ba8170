"""A small disk that can be full: a tmpfs, which only root may mount."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoDiskError(Exception):
    """No disk can be mounted here; the message says why."""


def unmounting(mount: str) -> list[str]:
    """Return the command that unmounts a disk of FUSE.

    As root it ends the disk also where another program, in a mount namespace of its own, still has it mounted.
    """
    return ["umount", "--force", "--lazy", mount] if os.geteuid() == 0 else ["fusermount3", "-u", "-z", mount]


@contextmanager
def small_disk(mount: Path, size: str, options: str = "") -> Iterator[Path]:
    """Mount a disk of this size (`8M`) and unmount it in the end. Raises NoDiskError."""
    if os.geteuid() != 0:
        raise NoDiskError("only root may mount a disk")
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(mount)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoDiskError(done.stderr.strip())
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], stdin=subprocess.DEVNULL, check=False)


def fill(disk: Path, left: int) -> Path:
    """Fill a disk with one file until about this many octets are left, and return the file."""
    state = os.statvfs(disk)
    filler = disk / "filler"
    try:
        filler.write_bytes(bytes(state.f_bavail * state.f_frsize - left))
    except OSError as error:
        # A relay has written to the disk in the meantime, so that it is full already.
        if error.errno != errno.ENOSPC:
            raise
    return filler
