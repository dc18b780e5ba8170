"""The platforms of the image. Programs of other processors run by qemu (binfmt_misc)."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: By Debian's names of their architectures.
PLATFORMS = {"amd64": "linux/amd64", "arm64": "linux/arm64", "armhf": "linux/arm/v7", "i386": "linux/386"}
#: Those of which a second build is compared with the first. By qemu it would take too long, and shows no more.
BUILT_TWICE = ("amd64", "i386")

_KERNEL = Path("/proc/sys/fs/binfmt_misc")
_FORMATS = Path("/usr/lib/binfmt.d")
#: Debian's names of the architectures that may need qemu, and qemu's own.
_EMULATED = {"arm64": "aarch64", "armhf": "arm"}


@contextmanager
def emulated(architecture: str) -> Iterator[None]:
    """Have the kernel run programs of an architecture, also in a chroot, until the block ends.

    A kernel that does so already stays as it is. Raises OSError without root or Debian's qemu-user-static.
    """
    own = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    entry = _KERNEL / f"qemu-{_EMULATED.get(architecture, architecture)}"
    if architecture not in _EMULATED or architecture == own or entry.exists():
        yield
        return
    if not (_KERNEL / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "none", str(_KERNEL)], check=True)
    # "F" in this line opens qemu now, so that a chroot needs no copy of it.
    (_KERNEL / "register").write_text((_FORMATS / f"{entry.name}.conf").read_text().strip())
    try:
        yield
    finally:
        entry.write_text("-1")
