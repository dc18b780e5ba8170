"""Permissions and ownership of QUEUE_DIR: closed to other users, checked for foreign entries, given to RUN_AS.

If other users could write to the directory, such as the volume of a container, it may hold a link to another place, a
pipe that blocks the reader, or a file that another user can read. The relay refuses such entries and does not open
them.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mta.queue.disk.files import BODIES, BODY_NAME
from mta.queue.interface import QueueError

_OTHERS = 0o077
_EVERYONE = 0o007
# The relay's entries in QUEUE_DIR and in the homes of workers, with their types. The name of the queue file is a prefix
# of the names of its WAL and its copies. The files of `mta/oauth/token_file.py`, `mta/sts/policy_file.py`,
# `mta/tls_reports/day_file.py` and `mta/admin` lie beside it, and those of `mta/events/spool.py` in a folder.
_KINDS = (
    (re.compile(r"(?:relay\.)?lock|queue\.sqlite(?:[-.].*)?|oauth\.(?:json(?:\.new)?|lock)"), stat.S_IFREG),
    (
        re.compile(r"mta-sts\.sqlite(?:-.*)?|[0-9]{20}\.jsonl|(?:digest|doctor|state)\.json(?:\.new)?|traffic"),
        stat.S_IFREG,
    ),
    (re.compile(r"tls-reports-[0-9-]{10}\.(?:json|sent|new)"), stat.S_IFREG),
    (re.compile(rf"{BODIES}|events|worker-[0-9]+"), stat.S_IFDIR),
)
# The daemon reads no file under this name. A foreign entry here only delays the effect of an operator's commands.
_SOCKET = "control"
# Created by the file system at the top of a volume.
_OF_THE_VOLUME = "lost+found"
_NOUNS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a file",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
# Does not follow links or block on a pipe.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def restrict_to_owner(directory: Path, *, container_volume: bool = False) -> str | None:
    """Make QUEUE_DIR accessible to its owner only; return a notice for the operator, or None.

    There is no notice about an empty directory, such as an image or a package creates, because it had no file that
    could be read. A directory of another user is left unchanged, because a volume that a group shares is its owner's
    responsibility; for `container_volume` there is no notice about that either, because only this container sees it.
    """
    try:
        state = directory.stat()
        mode = stat.S_IMODE(state.st_mode)
        if stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and mode & _OTHERS:
            directory.chmod(mode & ~_OTHERS)
            if all(entry.name == _OF_THE_VOLUME for entry in directory.iterdir()):
                return None
            return f"QUEUE_DIR={directory} was open to others (mode {mode:04o}): it is closed now"
    except OSError:
        # A missing directory is created closed. Any other error occurs again when the queue is opened, and is reported.
        return None
    if stat.S_ISDIR(state.st_mode) and mode & _EVERYONE and not container_volume:
        return (
            f"QUEUE_DIR={directory} is open to everyone on this host (mode {mode:04o}) and has another owner, so the"
            f" relay cannot close it: chmod {mode & ~_EVERYONE:04o} it"
        )
    return None


def secure_contents(home: Path) -> None:
    """Make the relay's entries in a home accessible to their owner only.

    Raises OSError, and QueueError for an entry that another user may have put there.
    """
    makers = _makers(home.stat())
    with os.scandir(home) as entries:
        for entry in entries:
            kind = _kind(entry.name)
            # A daemon that runs beside this process may have removed it since.
            with suppress(FileNotFoundError):
                if kind is not None:
                    _keep(entry, kind, makers)


def _keep(entry: "os.DirEntry[str]", kind: int, makers: set[int] | None) -> None:
    state = entry.stat(follow_symlinks=False)
    _refuse_foreign(entry.path, kind, state, makers)
    if state.st_uid == os.geteuid() and state.st_mode & _OTHERS:
        Path(entry.path).chmod(stat.S_IMODE(state.st_mode) & ~_OTHERS)


def _makers(home: os.stat_result) -> set[int] | None:
    """Return the users that may own the files of a home, or None for any: the volume is shared with a group."""
    if home.st_uid != os.geteuid() and not home.st_mode & stat.S_IWOTH:
        return None
    return {os.geteuid(), home.st_uid, 0}


def _kind(name: str) -> int | None:
    """Return the file type that the relay's entry of this name has, or None for another name."""
    return next((kind for names, kind in _KINDS if names.fullmatch(name)), None)


def _refuse_foreign(path: str, kind: int, state: os.stat_result, makers: set[int] | None) -> None:
    found = stat.S_IFMT(state.st_mode)
    if found != kind:
        raise QueueError(f"{path} is {_NOUNS.get(found, 'a device')}, not {_NOUNS[kind]}: find out who put it there")
    if makers is not None and state.st_uid not in makers:
        raise QueueError(
            f"{path} belongs to user id {state.st_uid}, but the relay runs as user id {os.geteuid()}: find out who put"
            f" it there, or chown it to {os.geteuid()}"
        )
    if kind == stat.S_IFREG and state.st_nlink > 1:
        raise QueueError(f"{path} is a file that has another name elsewhere (a hard link): find out who made it")


def chown_queue(directory: Path, uid: int, gid: int) -> None:
    """Change the owner of QUEUE_DIR, and of the entries in it, if they are root's.

    A directory with other entries than a queue's is left unchanged, so that QUEUE_DIR=/etc does no harm. Errors are
    ignored, because they are reported when the queue is opened.
    """
    with suppress(OSError):
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _chown_tree(top, uid, gid)
        finally:
            os.close(top)


def _chown_tree(descriptor: int, uid: int, gid: int) -> None:
    """Change the owner of root's file or directory and its contents. By descriptors, because names may be replaced."""
    state = os.fstat(descriptor)
    if state.st_uid != 0:
        return
    if stat.S_ISDIR(state.st_mode):
        names = [name for name in os.listdir(descriptor) if name != _OF_THE_VOLUME]
        if not all(_kind(name) is not None or name == _SOCKET or BODY_NAME.fullmatch(name) for name in names):
            return
        for each in _opened(descriptor, names):
            _chown_tree(each, uid, gid)
    elif not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        return
    os.fchown(descriptor, uid, gid)


def _opened(directory: int, names: Sequence[str]) -> Iterator[int]:
    """Yield descriptors of the entries with these names in a directory, except links and sockets."""
    for name in names:
        try:
            descriptor = os.open(name, _LOOK, dir_fd=directory)
        except OSError:
            continue
        try:
            yield descriptor
        finally:
            os.close(descriptor)
