"""Reads the DKIM keys from their files, and again when the files change.

A directory has files `<domain>.pem` and `<domain>.<selector>.pem`. `mail.example.com.pem` may be for that domain or for
the selector `com` of `mail.example`. Such a file counts as both, because no mail comes from the second domain.
"""

import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mta.dkim.keys import KeyFormatError, SigningKey, read_key
from mta.file_stamp import FileStamp, read_if_changed
from mta.smtp.address import AddressError, parse_domain

#: Seconds between two checks of the same file.
CHECK_SECONDS = 5.0
SUFFIX = ".pem"
_MAX_OCTETS = 65536
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")

#: Takes a line for the operator.
Notice = Callable[[str], None]


class DkimKeyError(Exception):
    """A key cannot be used. The text is one line: the setting, the file, the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class KeyName:
    """The domain and the selector in the name of a key file."""

    domain: str
    selector: str


class Keyring(Protocol):
    """Returns the keys of each domain."""

    def keys(self, domain: str) -> tuple[SigningKey, ...]:
        """Return the keys of a domain in lower case; empty if its mail is not signed. May read small files."""

    def reload(self) -> None:
        """Read all files again, changed or not, and report their problems again."""

    def files(self) -> "tuple[tuple[KeyName, ...], ...]":
        """Return for each file the meanings of its name, the likelier first; empty if one key signs for all."""


def open_keyring(path: Path, selector: str, *, clock: Callable[[], float], notice: Notice) -> Keyring:
    """Return the keys of DKIM_KEY_PATH: one file for every domain, or a directory of files.

    `selector` is for files whose name has none. `clock` is a monotonic clock in seconds. `notice` gets lines for the
    operator: about weak keys at once, later about a changed key that cannot be used while the old one stays in use.
    Raises DkimKeyError if a key cannot be used now.
    """
    try:
        directory = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None
    return _KeyDirectory(path, selector, clock, notice) if directory else _SingleKey(path, selector, clock, notice)


class _KeyFile:
    """One key file. `key` is None until the file had a usable key."""

    def __init__(self, path: Path, selector: str) -> None:
        self.path = path
        self.key: SigningKey | None = None
        self._selector = selector
        self._stamp: FileStamp | None = None
        self._next_check = float("-inf")
        self._last_notice = ""

    def load(self) -> str:
        """Read the file if it has changed; return a line about a weak key, or "". Raises DkimKeyError."""
        try:
            changed = read_if_changed(self.path, self._stamp, _MAX_OCTETS)
            if changed is None:
                return ""
            pem, self._stamp = changed
            self.key = read_key(self._selector, pem)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        except KeyFormatError as error:
            raise DkimKeyError(f"DKIM_KEY_PATH={self.path}: {error}") from None
        return f"DKIM_KEY_PATH={self.path}: {self.key.weakness}" if self.key.weakness else ""

    def current(self, now: float, notice: Notice) -> SigningKey | None:
        """Return the key. The file is checked once in CHECK_SECONDS and read if it has changed."""
        if now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            try:
                line = self.load()
            except DkimKeyError as error:
                line = f"{error}; {'the old key stays in use' if self.key else 'mail is not signed with it'}"
            if line and line != self._last_notice:
                notice(line)
            self._last_notice = line
        return self.key

    def reload(self, now: float, notice: Notice) -> None:
        """Read the file now, changed or not, and report its problems again."""
        self._stamp, self._next_check, self._last_notice = None, now, ""
        self.current(now, notice)


class _SingleKey:
    """The Keyring of one file, whose key signs for every domain."""

    def __init__(self, path: Path, selector: str, clock: Callable[[], float], notice: Notice) -> None:
        self._file = _KeyFile(path, selector)
        self._clock = clock
        self._notice = notice
        _load_all([self._file], notice)

    def keys(self, domain: str) -> tuple[SigningKey, ...]:  # noqa: ARG002  the key signs for all domains
        key = self._file.current(self._clock(), self._notice)
        return (key,) if key else ()

    def reload(self) -> None:
        self._file.reload(self._clock(), self._notice)

    def files(self) -> tuple[tuple[KeyName, ...], ...]:
        return ()


class _KeyDirectory:
    """The Keyring of a directory, with a file for each domain and selector."""

    def __init__(self, path: Path, selector: str, clock: Callable[[], float], notice: Notice) -> None:
        self._path = path
        self._selector = selector
        self._clock = clock
        self._notice = notice
        self._stamp: FileStamp | None = None
        self._next_check = clock() + CHECK_SECONDS
        self._last_notice = ""
        self._files: dict[KeyName, _KeyFile] = {}
        self._domains: dict[str, list[_KeyFile]] = {}
        try:
            self._read_directory()
        except OSError as error:
            raise _unreadable(path, error) from None
        if not self._files:
            raise DkimKeyError(
                f"DKIM_KEY_PATH={path}: the directory has no file <domain>{SUFFIX}; put one in or unset it"
            )
        _load_all(self._files.values(), notice)

    def keys(self, domain: str) -> tuple[SigningKey, ...]:
        now = self._clock()
        if now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            self._refresh()
        current = (file.current(now, self._notice) for file in self._domains.get(domain, ()))
        return tuple(key for key in current if key is not None)

    def reload(self) -> None:
        now = self._clock()
        self._stamp, self._next_check, self._last_notice = None, now + CHECK_SECONDS, ""
        self._refresh()
        for file in self._files.values():
            file.reload(now, self._notice)

    def files(self) -> tuple[tuple[KeyName, ...], ...]:
        by_path: dict[Path, list[KeyName]] = {}
        for name, file in self._files.items():
            by_path.setdefault(file.path, []).append(name)
        return tuple(tuple(sorted(each, key=self._is_unlikely)) for each in by_path.values())

    def _is_unlikely(self, name: KeyName) -> bool:
        """Whether the selector in the name of a file is more likely the end of a domain."""
        selector = name.selector
        if selector == self._selector:
            return False
        top = selector.isalpha() or selector.startswith("xn--")
        return top and KeyName(name.domain, self._selector) not in self._files

    def _refresh(self) -> None:
        """List the directory again if files were added or removed."""
        line = ""
        try:
            self._read_directory()
        except OSError as error:
            line = f"{_unreadable(self._path, error)}; the keys known so far stay in use"
        if line and line != self._last_notice:
            self._notice(line)
        self._last_notice = line

    def _read_directory(self) -> None:
        stamp = FileStamp.of(self._path)
        if stamp == self._stamp:
            return
        files: dict[KeyName, _KeyFile] = {}
        domains: dict[str, list[_KeyFile]] = {}
        for path, name in self._key_names():
            if name not in files:
                known = self._files.get(name)
                files[name] = known if known and known.path == path else _KeyFile(path, name.selector)
                domains.setdefault(name.domain, []).append(files[name])
        self._files, self._domains, self._stamp = files, domains, stamp

    def _key_names(self) -> Iterator[tuple[Path, KeyName]]:
        """Yield the files with the possible meanings of their names; a name with an explicit selector comes first."""
        paths = sorted(path for path in self._path.iterdir() if path.suffix == SUFFIX and path.name[0] != ".")
        for path in paths:
            domain, _, selector = path.stem.lower().rpartition(".")
            if "." in domain and _is_domain(domain) and _SELECTOR.fullmatch(selector):
                yield path, KeyName(domain, selector)
        for path in paths:
            if _is_domain(path.stem.lower()):
                yield path, KeyName(path.stem.lower(), self._selector)


def _load_all(files: Iterable[_KeyFile], notice: Notice) -> None:
    """Read files for the first time. Raises DkimKeyError."""
    for line in dict.fromkeys(file.load() for file in files):
        if line:
            notice(line)


def _is_domain(name: str) -> bool:
    try:
        return parse_domain(name) == name
    except AddressError:
        return False


def _unreadable(path: Path, error: OSError) -> DkimKeyError:
    cause = error.strerror or "unknown error"
    return DkimKeyError(
        f"DKIM_KEY_PATH={path}: cannot be read: {cause}; let the relay's user read it, or unset DKIM_KEY_PATH"
    )
