"""The Python that runs the tests, made readable for daemons that start as root and change to another user."""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.daemon import PYTHON_PATH
from harness.waiting import PATIENCE

# The user id of `nobody`, in Debian and most other systems.
NOBODY = 65534
# Where Python's home is closed to others, in a mount namespace of the program's own an open folder takes its place.
_OPEN = """\
set -e
stash=$(mktemp -d)
mount --make-rprivate /
mount -t tmpfs none "$stash"
mkdir "$stash/python"
mount --bind "$2" "$stash/python"
mount -t tmpfs -o mode=755 none "$1"
mkdir -p "$2"
mount --bind "$stash/python" "$2"
umount --lazy "$stash"
rmdir "$stash"
shift 2
exec "$@"
"""


@cache
def with_open_python() -> tuple[str, ...] | None:
    """Return a prefix for commands with which any user may run this Python, or None if that is not possible."""
    home = Path(sys.base_prefix)
    closed = [folder for folder in (home, *home.parents) if not folder.stat().st_mode & 0o001]
    prefix = ("unshare", "--mount", "sh", "-c", _OPEN, "sh", str(closed[-1]), str(home)) if closed else ()
    return prefix if _works([*prefix, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]) else None


def _works(prefix: Sequence[str]) -> bool:
    program = [sys.executable, "-c", "import mta.workers.worker, cryptography"]
    try:
        done = subprocess.run(
            [*prefix, *program],
            cwd="/",
            env={"PYTHONPATH": PYTHON_PATH},
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
    except OSError:
        return False
    return done.returncode == 0
