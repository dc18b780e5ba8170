"""The machine a measurement ran on, as a reader needs it to judge the figures."""

import os
import platform
import re
import subprocess
from pathlib import Path

from bench import exim, haraka, postfix
from bench.debian import version

_ROOT = Path(__file__).parent.parent


def machine(directory: Path, cache: Path) -> dict[str, str]:
    """Return the facts by name: cores, processor, memory, kernel, the queues' file system, and versions."""
    kibibytes = int(_first(r"MemTotal:\s*(\d+)", _read("/proc/meminfo")) or 0)
    return {
        "cores": str(os.cpu_count()),
        "processor": _first(r"model name\s*:\s*(.*)", _read("/proc/cpuinfo")),
        "memory": f"{kibibytes / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "file system": file_system(directory),
        "python": platform.python_version(),
        "smtprelay": _commit(),
        "postfix": version(cache, postfix.RECIPE.package),
        "exim": version(cache, exim.RECIPE.package),
        "haraka": haraka.VERSION,
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def file_system(path: Path) -> str:
    """Return the type and source of the file system that holds a path: `ext4 on /dev/vda`."""
    best = ("", "unknown")
    for line in _read("/proc/mounts").splitlines():
        source, mount, kind, *_ = line.split()
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, f"{kind} on {source}")
    return best[1]


def _commit() -> str:
    """Return the commit that is measured, with a mark if the tree is not as committed."""
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else ""
