"""Finds out from the kernel's table of mounts whether a directory outlives its container, or a power failure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
# Files that container engines put into the root of a container. They tell even if the root is not an overlay.
_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
_LAYERED = {"overlay", "aufs", "fuse.fuse-overlayfs"}
_IN_MEMORY = {"tmpfs", "ramfs"}
# Engines name an anonymous volume by 64 hexadecimal digits.
_NAMELESS = re.compile(r"/volumes/[0-9a-f]{64}(?:/_data)?$")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo (proc_pid_mountinfo(5))."""

    #: The path where the file system is mounted.
    point: str
    #: The path within the file system that is mounted there.
    root: str
    #: The type of the file system.
    kind: str


def volatility_notice(queue_dir: Path) -> str | None:
    """Return a line for the operator if the directory is lost with the container or at power off."""
    try:
        mount, in_container = container_mount(queue_dir)
    except OSError:
        return None
    return None if mount is None else mount_warning(mount, queue_dir, in_container=in_container)


def container_mount(directory: Path) -> tuple[Mount | None, bool]:
    """Return the mount that holds a directory, and whether this process runs in a container. Raises OSError."""
    mount = mount_of(directory.resolve(), _MOUNTS.read_text("utf-8", "surrogateescape"))
    return mount, any(mark.exists() for mark in _MARKS)


def is_container_volume(queue_dir: Path) -> bool:
    """Whether this process runs in a container and the directory is in a volume mounted into it."""
    try:
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
        return in_volume(queue_dir.resolve(), mounts, in_container=any(mark.exists() for mark in _MARKS))
    except OSError:
        return False


def in_volume(path: Path, mountinfo: str, *, in_container: bool) -> bool:
    """Whether an absolute path is in a volume of a container, given the text of mountinfo."""
    top, held = mount_of(Path("/"), mountinfo), mount_of(path, mountinfo)
    return top is not None and on_own_layer(top, in_container=in_container) and held not in {None, top}


def mount_warning(mount: Mount, queue_dir: Path, *, in_container: bool) -> str | None:
    """Return a warning about a queue directory on this mount, or None."""
    if on_own_layer(mount, in_container=in_container):
        danger = "in the container's own file system: accepted mail is lost with the container; mount a volume there"
    elif mount.kind in _IN_MEMORY:
        danger = "in memory: accepted mail is lost at power off; put it on a disk"
    elif _NAMELESS.search(mount.root):
        danger = "in a volume without a name: the next container gets an empty one; name the volume"
    else:
        return None
    return f"QUEUE_DIR={queue_dir} lies {danger}"


def on_own_layer(mount: Mount, *, in_container: bool) -> bool:
    """Whether a mount is the container's own file system, which is deleted with the container."""
    return mount.point == "/" and (in_container or mount.kind in _LAYERED)


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """Return the mount that holds an absolute path, given the text of mountinfo; a later mount hides an earlier one."""
    held = None
    for mount in _read(mountinfo):
        if path.is_relative_to(mount.point) and (held is None or len(mount.point) >= len(held.point)):
            held = mount
    return held


def _read(mountinfo: str) -> Iterator[Mount]:
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if rest and len(words) > 4:  # noqa: PLR2004  the mount point is the fifth field
            yield Mount(_unescaped(words[4]), _unescaped(words[3]), rest.split(" ")[0])


def _unescaped(word: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), word)
