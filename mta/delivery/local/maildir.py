"""Maildirs: finding the one of a user without ever leaving MAIL_DIR, and saving a message in it durably.

The layout and the names of files are those of https://cr.yp.to/proto/maildir.html. All of it blocks.
"""

import contextlib
import errno
import itertools
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

# No slash, no leading dot or dash, nothing that a shell, a mail reader or a file system takes for something else.
_USER = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._+=-]{0,127}")
_FOLDERS = ("tmp", "new", "cur")
# No path may be swapped for a symbolic link between the look and the use: each step is opened as a directory of its own
# and the next is opened in it.
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Maildirs:
    """The Maildirs directly in MAIL_DIR, one for each user."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, local: str) -> Path | None:
        """Return the Maildir of an unquoted local part; None when there is none.

        The name is tried as it is, then in lower case, then both without a `+detail`. Raises OSError when MAIL_DIR
        cannot be read: that says nothing about the user.
        """
        root = self._real_root()
        for name in _names(local):
            found = Path(os.path.realpath(root / name))
            if found.is_relative_to(root) and _is_maildir(found):
                return found
        return None

    def name(self, local: str) -> str | None:
        """Return the name of a Maildir to make for an unquoted local part; None when it could not be a user."""
        base = local.partition("+")[0]
        return base.lower() if _USER.fullmatch(base) else None

    def make(self, name: str) -> Path:
        """Make a Maildir that only we can read, or complete one. Raises OSError, for a symbolic link too."""
        root = self._real_root()
        with _opened(root) as home:
            _make_directory(name, home)
            with _opened(name, home) as maildir:
                for folder in _FOLDERS:
                    _make_directory(folder, maildir)
                os.fsync(maildir)
            os.fsync(home)
        return root / name

    def _real_root(self) -> Path:
        # Path.resolve raises RuntimeError for a circle of links before Python 3.13, this an OSError.
        return Path(os.path.realpath(self._root, strict=True))


def _names(local: str) -> Iterable[str]:
    """Return the names to try, each once."""
    parts = (local, local.partition("+")[0])
    # Judged before it is made small: of the letters that only look like ours some have our small form (U+212A).
    return dict.fromkeys(name for part in parts if _USER.fullmatch(part) for name in (part, part.lower()))


def _make_directory(name: str, inside: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=inside)


def _is_maildir(path: Path) -> bool:
    return all(_is_directory(path / folder) for folder in _FOLDERS)


def _is_directory(path: Path) -> bool:
    """Whether there is a directory that is no symbolic link. Raises OSError when that cannot be told."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return False
        raise


def save(maildir: Path, name: str, pieces: Iterable[bytes], *, shown: str | None = None) -> None:
    """Save a message under a name that is not in use. When it returns, the message survives a power cut.

    The message is written in `tmp`, synced, and only then moved to `new`, so a reader never sees a part of it; the
    file belongs to the Maildir's owner if we are root. Raises OSError, and then nothing of the message is left.
    In `new` it is called `shown`, if given, and takes the place of a file of that name.
    """
    shown = shown or name
    with _opened(maildir) as home, _opened("tmp", home) as tmp, _opened("new", home) as new:
        descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=tmp)
        place = tmp
        try:
            _write(descriptor, home, pieces)
            os.rename(name, shown, src_dir_fd=tmp, dst_dir_fd=new)
            name, place = shown, new
            os.fsync(new)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=place)
            raise


def _write(descriptor: int, home: int, pieces: Iterable[bytes]) -> None:
    with os.fdopen(descriptor, "wb") as file:
        _give_to_owner(descriptor, home)
        file.writelines(pieces)
        file.flush()
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(path: Path | str, inside: int | None = None) -> Iterator[int]:
    directory = os.open(path, _DIRECTORY, dir_fd=inside)
    try:
        yield directory
    finally:
        os.close(directory)


def _give_to_owner(file: int, home: int) -> None:
    if os.geteuid() == 0:
        owner = os.fstat(home)
        os.fchown(file, owner.st_uid, owner.st_gid)


class Names:
    """Gives file names that no other delivery to a Maildir uses: time, process, a counter, chance and the host.

    In a container each start counts from 1 under the same process id, and a clock may be set back: chance keeps a name
    from being used twice even then.
    """

    def __init__(self, host: str) -> None:
        # The Maildir page asks for these two to be written in octal.
        self._host = host.replace("/", r"\057").replace(":", r"\072")
        self._counter = itertools.count(1)

    def of(self, created: float, delivery: str) -> str:
        """Return the name that a delivery has at each of its attempts; `created` is in wall-clock seconds."""
        return f"{int(created)}.{delivery}.{self._host}"

    def new(self, now: float) -> str:
        """Return a name for wall-clock seconds."""
        seconds, rest = divmod(int(now * 1_000_000), 1_000_000)
        unique = f"M{rest}P{os.getpid()}Q{next(self._counter)}R{secrets.token_hex(4)}"
        return f"{seconds}.{unique}.{self._host}"
