"""The processes of a relay's workers, as the kernel knows them."""

from contextlib import suppress
from pathlib import Path

from harness.daemon import Daemon


def a_workers_process(relay: Daemon, number: int) -> int | None:
    """Return the process of a worker, or None while there is no such process."""
    for path in Path("/proc").glob("[0-9]*"):
        # Processes may end during the search.
        with suppress(OSError, ValueError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            words = (path / "cmdline").read_bytes().split(b"\0")
            if parent == relay.child.pid and words[words.index(b"mta.workers.worker") + 1] == b"%d" % number:
                return int(path.name)
    return None
