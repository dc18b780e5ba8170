"""Finds the Maildir of a user without ever leaving MAIL_DIR, and saves messages in it durably.

The layout and the file names follow https://cr.yp.to/proto/maildir.html. All functions block.
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

# No slash, no leading dot or dash, and no character that is special in a shell, a mail reader or a file system.
_USER = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._+=-]{0,127}")
_FOLDERS = ("tmp", "new", "cur")
# Each directory of a path is opened relative to its parent and without following links, so that a path cannot be
# replaced by a symbolic link between the check and the use.
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Maildirs:
    """The Maildirs directly in MAIL_DIR, one for each user."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, local: str) -> Path | None:
        """Return the Maildir of an unquoted local part, or None if it does not exist.

        The name is tried unchanged, then in lower case, then both without a `+detail`. Raises OSError if MAIL_DIR
        cannot be read, because the user may exist then.
        """
        root = self._real_root()
        for name in _names(local):
            found = Path(os.path.realpath(root / name))
            if found.is_relative_to(root) and _is_maildir(found):
                return found
        return None

    def name(self, local: str) -> str | None:
        """Return the name of the Maildir to create for an unquoted local part, or None if it cannot name a user."""
        base = local.partition("+")[0]
        return base.lower() if _USER.fullmatch(base) else None

    def make(self, name: str) -> Path:
        """Create or complete a Maildir, readable by the relay's user only. Raises OSError, also for a symbolic link."""
        root = self._real_root()
        with _open_directory(root) as home:
            _make_directory(name, home)
            with _open_directory(name, home) as maildir:
                for folder in _FOLDERS:
                    _make_directory(folder, maildir)
                os.fsync(maildir)
            os.fsync(home)
        return root / name

    def _real_root(self) -> Path:
        # Before Python 3.13 Path.resolve raises RuntimeError for a circle of links; realpath raises OSError.
        return Path(os.path.realpath(self._root, strict=True))


def _names(local: str) -> Iterable[str]:
    """Return the names of Maildirs to try for a local part, each once."""
    parts = (local, local.partition("+")[0])
    # Checked before it is lowered, because some letters outside ASCII have ASCII lower-case forms (U+212A becomes k).
    return dict.fromkeys(name for part in parts if _USER.fullmatch(part) for name in (part, part.lower()))


def _make_directory(name: str, inside: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=inside)


def _is_maildir(path: Path) -> bool:
    return all(_is_directory(path / folder) for folder in _FOLDERS)


def _is_directory(path: Path) -> bool:
    """Whether there is a directory that is not a symbolic link. Raises OSError if that cannot be determined."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return False
        raise


def save(maildir: Path, name: str, pieces: Iterable[bytes], *, final_name: str | None = None) -> None:
    """Save a message under an unused name, synced to disk. Raises OSError, and then leaves no file behind.

    The message is written to `tmp`, synced, and then moved to `new`, so that a reader never sees a part of it. The file
    gets the Maildir's owner if the relay runs as root. In `new` it is called `final_name`, if given, and replaces a
    file of that name.
    """
    final_name = final_name or name
    with _open_directory(maildir) as home, _open_directory("tmp", home) as tmp, _open_directory("new", home) as new:
        descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=tmp)
        place = tmp
        try:
            _write(descriptor, home, pieces)
            os.rename(name, final_name, src_dir_fd=tmp, dst_dir_fd=new)
            name, place = final_name, new
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
def _open_directory(path: Path | str, inside: int | None = None) -> Iterator[int]:
    directory = os.open(path, _DIRECTORY, dir_fd=inside)
    try:
        yield directory
    finally:
        os.close(directory)


def _give_to_owner(file: int, home: int) -> None:
    if os.geteuid() == 0:
        owner = os.fstat(home)
        os.fchown(file, owner.st_uid, owner.st_gid)


class MaildirNames:
    """Makes file names that no other delivery to a Maildir uses: time, process id, a counter, a random part, the host.

    In a container every start has the same process id and counts from 1, and the clock may be set back. The random part
    keeps names unique even then.
    """

    def __init__(self, host: str) -> None:
        # The Maildir specification requires octal escapes for these two characters.
        self._host = host.replace("/", r"\057").replace(":", r"\072")
        self._counter = itertools.count(1)

    def stable(self, created: float, message: str) -> str:
        """Return the name that a message has at each of its attempts; `created` is in wall-clock seconds."""
        return f"{int(created)}.{message}.{self._host}"

    def unique(self, now: float) -> str:
        """Return a new name; `now` is in wall-clock seconds."""
        seconds, rest = divmod(int(now * 1_000_000), 1_000_000)
        unique = f"M{rest}P{os.getpid()}Q{next(self._counter)}R{secrets.token_hex(4)}"
        return f"{seconds}.{unique}.{self._host}"
