"""Who may do what in QUEUE_DIR: closed to others, nothing foreign in it that we would follow, given to whom we become.

A directory that others may write, such as a container's volume, may hold anything when we come: a link that leads
elsewhere, a pipe that never answers, a file that somebody else can read. None of them is opened.
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
# What is ours in QUEUE_DIR and in the homes of workers; the queue's own name begins those of its log and its copies.
_KINDS = (
    (re.compile(r"(?:relay\.)?lock|queue\.sqlite(?:[-.].*)?"), stat.S_IFREG),
    (re.compile(rf"{BODIES}|worker-[0-9]+"), stat.S_IFDIR),
)
# Nothing is read from it, and what is in its place costs only the operator's commands their haste.
_SOCKET = "control"
# Made by the system at the top of a volume.
_OF_THE_VOLUME = "lost+found"
_NOUNS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a file",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
# Neither follows a link nor waits at a pipe.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def restrict_to_owner(directory: Path, *, container_volume: bool = False) -> str | None:
    """Take the rights on QUEUE_DIR from all but its owner; return the notice on that, None if there is none to give.

    An empty one is closed without a word, because nothing in it could be read before: so an image or a package may make
    it. One of another user is left as it is: a volume that a group shares is closed by its owner. Of a container's
    volume there is no notice, because the mode that an orchestrator gave it opens it to this container alone.
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
        # One that is missing is made closed; about any other trouble the queue speaks when it is opened.
        return None
    if stat.S_ISDIR(state.st_mode) and mode & _EVERYONE and not container_volume:
        return (
            f"QUEUE_DIR={directory} is open to everyone on this host (mode {mode:04o}) and is not ours to close:"
            f" chmod {mode & ~_EVERYONE:04o} it"
        )
    return None


def secure_contents(home: Path) -> None:
    """Close what is ours in a home to others. Raises QueueError for what others may have put there; OSError."""
    makers = _makers(home.stat())
    with os.scandir(home) as entries:
        for entry in entries:
            kind = _kind(entry.name)
            # A daemon beside us may have removed it since.
            with suppress(FileNotFoundError):
                if kind is not None:
                    _keep(entry, kind, makers)


def _keep(entry: "os.DirEntry[str]", kind: int, makers: set[int] | None) -> None:
    state = entry.stat(follow_symlinks=False)
    _refuse_foreign(entry.path, kind, state, makers)
    if state.st_uid == os.geteuid() and state.st_mode & _OTHERS:
        Path(entry.path).chmod(stat.S_IMODE(state.st_mode) & ~_OTHERS)


def _makers(home: os.stat_result) -> set[int] | None:
    """Return who may have made the files of a home; None where a group was given a volume to share."""
    if home.st_uid != os.geteuid() and not home.st_mode & stat.S_IWOTH:
        return None
    return {os.geteuid(), home.st_uid, 0}


def _kind(name: str) -> int | None:
    """Return the file type that a name of ours must have, None for another name."""
    return next((kind for names, kind in _KINDS if names.fullmatch(name)), None)


def _refuse_foreign(path: str, kind: int, state: os.stat_result, makers: set[int] | None) -> None:
    found = stat.S_IFMT(state.st_mode)
    if found != kind:
        raise QueueError(f"{path} is {_NOUNS.get(found, 'a device')}, not {_NOUNS[kind]}: find out who put it there")
    if makers is not None and state.st_uid not in makers:
        raise QueueError(
            f"{path} belongs to user id {state.st_uid}, and we are user id {os.geteuid()}: find out who put it there,"
            " or give it to us with chown"
        )
    if kind == stat.S_IFREG and state.st_nlink > 1:
        raise QueueError(f"{path} is a file that has another name elsewhere (a hard link): find out who made it")


def chown_queue(directory: Path, uid: int, gid: int) -> None:
    """Give QUEUE_DIR to a user if it is root's, with all of root's in it.

    A directory that holds anything but a queue is kept: whoever writes QUEUE_DIR=/etc has it still. What cannot be done
    is left, for the queue says what is wrong when it is opened.
    """
    with suppress(OSError):
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _give(top, uid, gid)
        finally:
            os.close(top)


def _give(descriptor: int, uid: int, gid: int) -> None:
    """Give away a file or directory of root's and what it holds, by descriptors: names may change under our eyes."""
    state = os.fstat(descriptor)
    if state.st_uid != 0:
        return
    if stat.S_ISDIR(state.st_mode):
        names = [name for name in os.listdir(descriptor) if name != _OF_THE_VOLUME]
        if not all(_kind(name) is not None or name == _SOCKET or BODY_NAME.fullmatch(name) for name in names):
            return
        for each in _opened(descriptor, names):
            _give(each, uid, gid)
    elif not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        return
    os.fchown(descriptor, uid, gid)


def _opened(directory: int, names: Sequence[str]) -> Iterator[int]:
    """Yield descriptors of what stands under these names in a directory, but for links and sockets."""
    for name in names:
        try:
            descriptor = os.open(name, _LOOK, dir_fd=directory)
        except OSError:
            continue
        try:
            yield descriptor
        finally:
            os.close(descriptor)
