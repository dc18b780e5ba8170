"""The DKIM keys on disk: read where they lie, and again when they change.

A directory has files `<domain>.pem` and `<domain>.<selector>.pem`. Nothing tells `mail.example.com.pem` for a domain
from the same for the selector `com` of `mail.example`, so a file counts as both; no mail is from the second.
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

#: Seconds between two looks at the same file.
LOOK_SECONDS = 5.0
SUFFIX = ".pem"
_MAX_OCTETS = 65536
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")

Tell = Callable[[str], None]


class DkimKeyError(Exception):
    """A key that cannot be used. The message is one line: the setting, the file, what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of a key's file says."""

    domain: str
    selector: str


class Keyring(Protocol):
    """Knows the keys of each domain."""

    def keys(self, domain: str) -> tuple[SigningKey, ...]:
        """Return the keys that sign for a domain in lower case; none if its mail is not signed. Reads small files."""

    def reload(self) -> None:
        """Read all files again, changed or not, and tell their mistakes again."""

    def files(self) -> "tuple[tuple[Named, ...], ...]":
        """Return for each file what its name can mean, the likelier first; none if one key signs for every domain."""


def open_keyring(path: Path, selector: str, *, clock: Callable[[], float], tell: Tell) -> Keyring:
    """Return the keys of DKIM_KEY_PATH: one file for every domain, or a directory of files.

    `selector` is for files that name none. `clock` gives seconds that only grow. `tell` takes lines for the operator:
    now of weak keys, later of a changed key that is no good, while the old one stays in use. Raises DkimKeyError when a
    key cannot be used now.
    """
    try:
        directory = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None
    return _Directory(path, selector, clock, tell) if directory else _OneKey(path, selector, clock, tell)


class _KeyFile:
    """One file. `key` is None as long as there was no good one in it."""

    def __init__(self, path: Path, selector: str) -> None:
        self.path = path
        self.key: SigningKey | None = None
        self._selector = selector
        self._stamp: FileStamp | None = None
        self._next_look = float("-inf")
        self._told = ""

    def load(self) -> str:
        """Read the file if it has changed; return what is weak about the key, or "". Raises DkimKeyError."""
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

    def current(self, now: float, tell: Tell) -> SigningKey | None:
        """Return the key, read again if it is time to look and the file has changed."""
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            try:
                line = self.load()
            except DkimKeyError as error:
                line = f"{error}; {'the old key stays in use' if self.key else 'mail is not signed with it'}"
            if line and line != self._told:
                tell(line)
            self._told = line
        return self.key

    def reload(self, now: float, tell: Tell) -> None:
        """Read the file now, changed or not."""
        self._stamp, self._next_look, self._told = None, now, ""
        self.current(now, tell)


class _OneKey:
    """A Keyring of one file."""

    def __init__(self, path: Path, selector: str, clock: Callable[[], float], tell: Tell) -> None:
        self._file = _KeyFile(path, selector)
        self._clock = clock
        self._tell = tell
        _load_all([self._file], tell)

    def keys(self, domain: str) -> tuple[SigningKey, ...]:  # noqa: ARG002  it signs for all
        key = self._file.current(self._clock(), self._tell)
        return (key,) if key else ()

    def reload(self) -> None:
        self._file.reload(self._clock(), self._tell)

    def files(self) -> tuple[tuple[Named, ...], ...]:
        return ()


class _Directory:
    """A Keyring of a file for each domain and selector."""

    def __init__(self, path: Path, selector: str, clock: Callable[[], float], tell: Tell) -> None:
        self._path = path
        self._selector = selector
        self._clock = clock
        self._tell = tell
        self._stamp: FileStamp | None = None
        self._next_look = clock() + LOOK_SECONDS
        self._told = ""
        self._files: dict[Named, _KeyFile] = {}
        self._domains: dict[str, list[_KeyFile]] = {}
        try:
            self._list()
        except OSError as error:
            raise _unreadable(path, error) from None
        if not self._files:
            raise DkimKeyError(
                f"DKIM_KEY_PATH={path}: the directory has no file <domain>{SUFFIX}; put one in or unset it"
            )
        _load_all(self._files.values(), tell)

    def keys(self, domain: str) -> tuple[SigningKey, ...]:
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look()
        current = (file.current(now, self._tell) for file in self._domains.get(domain, ()))
        return tuple(key for key in current if key is not None)

    def reload(self) -> None:
        now = self._clock()
        self._stamp, self._next_look, self._told = None, now + LOOK_SECONDS, ""
        self._look()
        for file in self._files.values():
            file.reload(now, self._tell)

    def files(self) -> tuple[tuple[Named, ...], ...]:
        by_path: dict[Path, list[Named]] = {}
        for named, file in self._files.items():
            by_path.setdefault(file.path, []).append(named)
        return tuple(tuple(sorted(each, key=self._unlikely)) for each in by_path.values())

    def _unlikely(self, named: Named) -> bool:
        """Whether what looks like a selector in a file's name is rather the end of a domain."""
        selector = named.selector
        if selector == self._selector:
            return False
        top = selector.isalpha() or selector.startswith("xn--")
        return top and Named(named.domain, self._selector) not in self._files

    def _look(self) -> None:
        """List the directory again if files came or went."""
        line = ""
        try:
            self._list()
        except OSError as error:
            line = f"{_unreadable(self._path, error)}; the keys known so far stay in use"
        if line and line != self._told:
            self._tell(line)
        self._told = line

    def _list(self) -> None:
        stamp = FileStamp.of(self._path)
        if stamp == self._stamp:
            return
        files: dict[Named, _KeyFile] = {}
        domains: dict[str, list[_KeyFile]] = {}
        for path, named in self._named():
            if named not in files:
                known = self._files.get(named)
                files[named] = known if known and known.path == path else _KeyFile(path, named.selector)
                domains.setdefault(named.domain, []).append(files[named])
        self._files, self._domains, self._stamp = files, domains, stamp

    def _named(self) -> Iterator[tuple[Path, Named]]:
        """Yield the files with what their names can mean; where two mean the same, the one that says it comes first."""
        paths = sorted(path for path in self._path.iterdir() if path.suffix == SUFFIX and path.name[0] != ".")
        for path in paths:
            domain, _, selector = path.stem.lower().rpartition(".")
            if "." in domain and _is_domain(domain) and _SELECTOR.fullmatch(selector):
                yield path, Named(domain, selector)
        for path in paths:
            if _is_domain(path.stem.lower()):
                yield path, Named(path.stem.lower(), self._selector)


def _load_all(files: Iterable[_KeyFile], tell: Tell) -> None:
    """Load files for the first time. Raises DkimKeyError."""
    for line in dict.fromkeys(file.load() for file in files):
        if line:
            tell(line)


def _is_domain(name: str) -> bool:
    try:
        return parse_domain(name) == name
    except AddressError:
        return False


def _unreadable(path: Path, error: OSError) -> DkimKeyError:
    cause = error.strerror or "unknown error"
    return DkimKeyError(f"DKIM_KEY_PATH={path}: cannot be read: {cause}; let our user read it, or unset DKIM_KEY_PATH")
