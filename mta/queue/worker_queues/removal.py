"""The home of a worker that runs no more: whether its queue can be merged, and how it goes when it was."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from mta.queue.disk.files import BODIES, BODY_NAME, fsync_path
from mta.queue.disk.queue_dir import FILE_NAME, prepare
from mta.queue.sqlite.group_commit import Step
from mta.queue.sqlite.schema import open_file, refuse_remains

# All that the relay itself puts into a home; whatever else lies there is not ours to remove.
_OURS = re.compile(
    rf"{re.escape(FILE_NAME)}(-wal|-shm|-journal|(\.v[0-9]+\.bak)?(\.new(-journal|-wal|-shm)?)?)|lock|control"
)


def holds_queue(home: Path) -> bool:
    """Whether there is a queue to merge, now sound and of the newest version. Raises QueueError."""
    path = home / FILE_NAME
    if not path.exists():
        refuse_remains(path)
        return False
    open_file(path, create=False, upgrade=True).close()
    # Many a backup keeps no empty folder, and `bodies` is one more often than not.
    prepare(home)
    return True


def holds_ours(home: Path) -> bool:
    """Whether anything of a relay is in a folder."""
    return any(_ours(home, _OURS)) or any(_ours(home / BODIES, BODY_NAME))


def remove(home: Path, step: Step) -> None:
    """Remove what is ours, durably, and the folder itself if nothing else is in it. Raises OSError."""
    step("remove bodies")
    _remove(home / BODIES, BODY_NAME)
    step("remove queue")
    _remove(home, _OURS)


def _ours(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if names.fullmatch(path.name) is not None)


def _remove(folder: Path, names: re.Pattern[str]) -> None:
    if not folder.is_dir():
        return
    for path in list(_ours(folder, names)):
        path.unlink()
    fsync_path(folder)
    # It stays when others have put something there, and when it is a mount or a link.
    with contextlib.suppress(OSError):
        folder.rmdir()
    fsync_path(folder.parent)
