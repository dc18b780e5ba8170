"""The home of a worker that no longer runs: checked before its queue is merged, and removed after."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from mta.blocking import fsync_path
from mta.queue.disk.files import BODIES, BODY_NAME
from mta.queue.disk.queue_dir import FILE_NAME, prepare
from mta.queue.sqlite.group_commit import Step
from mta.queue.sqlite.schema import open_file, refuse_remains

# The names of the relay's own entries in a home. Other entries are not removed.
_RELAY_NAMES = re.compile(
    rf"{re.escape(FILE_NAME)}(-wal|-shm|-journal|(\.v[0-9]+\.bak)?(\.new(-journal|-wal|-shm)?)?)|lock|control"
)


def has_queue(home: Path) -> bool:
    """Whether a home has a queue to merge, which is checked and upgraded. Raises QueueError."""
    path = home / FILE_NAME
    if not path.exists():
        refuse_remains(path)
        return False
    open_file(path, create=False, upgrade=True).close()
    # A backup may have left out `bodies`, which is usually empty.
    prepare(home)
    return True


def has_relay_entries(home: Path) -> bool:
    """Whether a folder has an entry of a relay."""
    return any(_relay_entries(home, _RELAY_NAMES)) or any(_relay_entries(home / BODIES, BODY_NAME))


def remove(home: Path, step: Step) -> None:
    """Remove the relay's entries durably, and the folder if it has no other entry. Raises OSError."""
    step("remove bodies")
    _remove(home / BODIES, BODY_NAME)
    step("remove queue")
    _remove(home, _RELAY_NAMES)


def _relay_entries(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if names.fullmatch(path.name) is not None)


def _remove(folder: Path, names: re.Pattern[str]) -> None:
    if not folder.is_dir():
        return
    for path in list(_relay_entries(folder, names)):
        path.unlink()
    fsync_path(folder)
    # A folder with other entries stays, and so does a mount point or a link.
    with contextlib.suppress(OSError):
        folder.rmdir()
    fsync_path(folder.parent)
