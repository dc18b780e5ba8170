"""Changes the users' file: one user at a time, with all comments, other lines and their order kept.

The new text is written beside the file and renamed, so that the relay never reads half of it.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mta.blocking import fsync_path
from mta.users.users_file import (
    MAX_OCTETS,
    SenderList,
    UserLine,
    UserLineError,
    check_name,
    read_user,
    split_line,
    split_rest,
)

_NEW_MODE = 0o600
_REMEDIES = {
    errno.EACCES: "; run this as a user who may write to its folder",
    errno.EPERM: "; it belongs to another user: run this as root, or as that user",
    errno.EBUSY: ", because it is mounted by itself: mount its folder instead",
    errno.EROFS: ", because it is mounted read-only: change it where it comes from",
}
_BOM = "\ufeff"


class UsersFileError(Exception):
    """The file cannot be read or replaced. The text is one line with the path, the reason and the remedy."""


def with_user(text: str, name: str, secret: str, senders: SenderList | None, *, keep_senders: bool) -> str:
    """Return the text of a file with a user: in place of the user's line, or else as the last line.

    A line in place keeps its further fields, and with `keep_senders` its senders. Raises UserLineError.
    """
    check_name(name)
    lines = _lines(text)
    places = [number for number, line in enumerate(lines) if _name_of(line) == name]
    if not places:
        lines.append(_checked(UserLine(name, ":", secret, f" {senders}" if senders else "")))
        return "".join(f"{line}\n" for line in lines)
    old = split_line(lines[places[0]].strip().removeprefix(_BOM))
    rest = old.rest
    if not keep_senders:
        rest = split_rest(old.rest)[0].rstrip() + (f" {senders}" if senders else "")
    end = "\r" * lines[places[0]].endswith("\r")
    mark = _BOM * lines[places[0]].startswith(_BOM)
    lines[places[0]] = mark + _checked(UserLine(name, old.separator, secret, rest)) + end
    # A second line of the same user counts as a mistake.
    return "".join(f"{line}\n" for number, line in enumerate(lines) if number not in places[1:])


def without_user(text: str, name: str) -> str | None:
    """Return the text of a file without the lines of a user, or None if it has none."""
    lines = _lines(text)
    kept = [line for line in lines if _name_of(line) != name]
    return None if len(kept) == len(lines) else "".join(f"{line}\n" for line in kept)


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _name_of(line: str) -> str | None:
    """Return the name of a user's line, or None for a comment, a blank line, or one without parts."""
    stripped = line.removeprefix(_BOM).strip()
    if not stripped or stripped.startswith("#"):
        return None
    try:
        return split_line(stripped).name
    except UserLineError:
        return None


def _checked(line: UserLine) -> str:
    """Return a line as text. Raises UserLineError if the relay could not read it."""
    text = str(line)
    read_user(text, missing=lambda _secret: "")
    return text


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """Lock a users' file against other commands, and yield its path with all links followed. Raises UsersFileError.

    The lock is on the folder, because the file itself is replaced. It ends with the process.
    """
    try:
        target = path.resolve()
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsersFileError(f"the folder of {path} cannot be opened: {error.strerror}") from None
    except RuntimeError:
        # Python before 3.13 reports a loop of links so.
        raise UsersFileError(f"{path} is a link to itself") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield target
    finally:
        os.close(folder)


def read_text(path: Path) -> str:
    """Return the text of a users' file, with octets that are not UTF-8 as surrogates. Raises UsersFileError."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_OCTETS + 1)
    except OSError as error:
        raise UsersFileError(f"{path} cannot be read: {error.strerror}") from None
    if len(octets) > MAX_OCTETS:
        raise UsersFileError(f"{path} has more than {MAX_OCTETS >> 20} MiB")
    return octets.decode("utf-8", "surrogateescape")


def replace_text(path: Path, text: str) -> None:
    """Replace a users' file at once and durably; `locked` must be held. Owner and mode stay. Raises UsersFileError.

    A new file can be read by its owner alone.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        try:
            _write(new, text, like=path)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        fsync_path(path.parent)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "")
        raise UsersFileError(f"{path} cannot be replaced: {error.strerror}{remedy}") from None


def _write(new: Path, text: str, *, like: Path) -> None:
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _NEW_MODE), "wb") as file:
        _copy_permissions(like, file.fileno())
        file.write(text.encode("utf-8", "surrogateescape"))
        file.flush()
        os.fsync(file.fileno())


def _copy_permissions(path: Path, descriptor: int) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    new = os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
