"""The users that may log in, from the text of a setting or from a file that is read again when it changes."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from mta.blocking import RunBlocking, run_inline
from mta.file_stamp import FileStamp, read_if_changed
from mta.smtp.sasl.scram import KEY_OCTETS, MIN_ITERATIONS, ScramSecret
from mta.users.secrets import PasswordSecret, PlainSecret, Support, missing_support, stored_octets
from mta.users.users_file import (
    MAX_OCTETS,
    BadLine,
    User,
    describe_bad_lines,
    read_users,
)

T = TypeVar("T")

#: Seconds between two calls of `Users.check`.
CHECK_INTERVAL = 5.0

TEXT_SETTING = "AUTH_USERS"
FILE_SETTING = "AUTH_USERS_FILE"

# Has no password, because the empty one is never checked.
_NO_SECRET = PlainSecret("")
# The salt of a made-up SCRAM secret without a user to take after.
_SALT_OCTETS = 16


class UsersError(Exception):
    """There are no users, or bad lines among them. Each mistake is a line with the setting, the reason and a remedy."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class _Contents:
    """The users of one state of the file."""

    users: dict[str, User] = field(repr=False)
    bad: tuple[BadLine, ...]
    # In the order of the file, for the users that stand for unknown names.
    secrets: tuple[PasswordSecret, ...] = field(repr=False)
    scram_only: bool
    # Makes the answers for unknown names, which must be the same in all processes with this file.
    key: bytes = field(repr=False)


class Users:
    """The current users. A file that cannot be read, or that has no users, leaves the users known so far in force.

    All lines for the operator name the setting, and none contains a secret.
    """

    def __init__(
        self,
        *,
        text: str = "",
        path: Path | None = None,
        mailname: str,
        notice: Callable[[str], object],
        run: RunBlocking = run_inline,
        missing: Support = missing_support,
    ) -> None:
        """Read the users of `path`, otherwise of `text`. Raises UsersError for a bad line or an unreadable file.

        With both, `text` is the content of the file as root has read it, which counts if the relay's user cannot.
        `mailname` is the domain that a client may append to a name. `notice` gets lines for the operator later on,
        about changed files. `run` reads changed files.
        """
        self._path = path
        self._mailname = mailname.lower()
        self._notice = notice
        self._run = run
        self._missing = missing
        self._stamp: FileStamp | None = None
        self._last_notice = ""
        self._reading = 0
        self._contents = self._first(text)

    def __len__(self) -> int:
        return len(self._contents.users)

    @property
    def scram_only(self) -> bool:
        """Whether every user has a SCRAM secret, so that SCRAM can be offered to all."""
        return self._contents.scram_only

    def find(self, name: str) -> User | None:
        """Return the user of a name. `name@MAILNAME` also finds `name`; otherwise names compare exactly."""
        users = self._contents.users
        return users.get(name) or users.get(self._without_mailname(name))

    def stand_in(self, name: str) -> PasswordSecret:
        """Return the secret whose check costs an unknown name as much time as a known one would cost.

        It is some user's, always the same for a name, so that costs are as frequent among unknown names as among
        users. The result of the check must not be used.
        """
        secrets = self._contents.secrets
        if not secrets:
            return _NO_SECRET
        return secrets[int.from_bytes(self._digest(b"user", name, 8)) % len(secrets)]

    def scram_secret(self, name: str) -> ScramSecret:
        """Return the SCRAM secret of a user, or a made-up one that no password matches.

        An unknown name has the same salt each time, as a user has, so that a client cannot tell them apart. A user
        without a SCRAM secret is one that the file got after SCRAM was offered.
        """
        user = self.find(name)
        like = self.stand_in(name) if user is None else user.secret
        if isinstance(like, ScramSecret):
            if user is not None:
                return like
            octets, iterations = len(like.salt), like.iterations
        else:
            octets, iterations = _SALT_OCTETS, MIN_ITERATIONS
        salt = hashlib.shake_256(self._digest(b"salt", name, KEY_OCTETS)).digest(octets)
        stored_key, server_key = (self._digest(use, name, KEY_OCTETS) for use in (b"stored", b"server"))
        return ScramSecret(salt, iterations, stored_key, server_key)

    def check(self) -> "Deferred[Any] | None":
        """Read the file if it has changed. Returns a Deferred that fires when it is read, or None."""
        if self._path is None:
            return None
        try:
            if FileStamp.of(self._path) == self._stamp:
                self._last_notice = ""
                return None
        except OSError as error:
            self._keep(f"cannot be read: {error.strerror}")
            return None
        return self._read(self._path)

    def reload(self) -> "Deferred[Any] | None":
        """Read the file now, changed or not, and report its problems again."""
        self._stamp, self._last_notice = None, ""
        return self.check()

    def _first(self, text: str) -> _Contents:
        if self._path is None:
            octets, source = text.encode("utf-8", "surrogateescape"), TEXT_SETTING
        else:
            source = f"{FILE_SETTING}={self._path}"
            octets = self._read_first(self._path, text, source)
        try:
            contents = _contents(octets, self._missing)
        except ValueError as error:
            raise UsersError([f"{source}: {error}"]) from None
        if contents.bad:
            raise UsersError([f"{source}, {line}" for line in describe_bad_lines(contents.bad)])
        return contents

    def _read_first(self, path: Path, text: str, source: str) -> bytes:
        """Return the file, or the `text` that root has read of it before. Raises UsersError if there is neither."""
        try:
            changed = read_if_changed(path, None, MAX_OCTETS + 1)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
            if text:
                self._keep(problem)
                return text.encode("utf-8", "surrogateescape")
            raise UsersError([f"{source}: {problem}; let the relay's user read it"]) from None
        assert changed is not None
        octets, self._stamp = changed
        return octets

    def _read(self, path: Path) -> "Deferred[Any]":
        self._reading += 1
        reading, last = self._reading, self._stamp

        def read() -> tuple[_Contents | None, FileStamp | None, str]:
            """Return the contents and the stamp of the file, or the reason why there are none."""
            stamp = None
            try:
                changed = read_if_changed(path, last, MAX_OCTETS + 1)
                if changed is None:
                    return None, last, ""
                octets, stamp = changed
                contents = _contents(octets, self._missing)
                return (contents, stamp, "") if contents.users else (None, stamp, _why_none(contents.bad))
            except OSError as error:
                return None, stamp, f"cannot be read: {error.strerror}"
            except ValueError as error:
                return None, stamp, str(error)

        def taken(result: tuple[_Contents | None, FileStamp | None, str]) -> None:
            # A later call may have been quicker.
            if reading == self._reading:
                self._take(*result)

        return self._run(read).addCallback(taken)

    def _take(self, contents: _Contents | None, stamp: FileStamp | None, problem: str) -> None:
        self._stamp = stamp
        if problem:
            self._keep(problem)
        elif contents is not None:
            self._last_notice = ""
            self._contents = contents
            for line in describe_bad_lines(contents.bad):
                self._notice(f"{FILE_SETTING}={self._path}, {line}; passed over")

    def _keep(self, problem: str) -> None:
        """Report once that the users known so far stay in force."""
        if problem != self._last_notice:
            self._last_notice = problem
            self._notice(f"{FILE_SETTING}={self._path}: {problem}; the users known so far stay in force")

    def _without_mailname(self, name: str) -> str:
        local, _, domain = name.rpartition("@")
        return local if domain.lower() == self._mailname else name

    def _digest(self, use: bytes, name: str, octets: int) -> bytes:
        # Both names of an unknown user have the same answers, because both names of a user have.
        text = self._without_mailname(name).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._contents.key, person=use, digest_size=octets).digest()


def _contents(octets: bytes, missing: Support) -> _Contents:
    """Return the users of a file. Raises ValueError if it is too large."""
    if len(octets) > MAX_OCTETS:
        raise ValueError(f"it has more than {MAX_OCTETS >> 20} MiB")
    users, bad = read_users(octets.decode("utf-8", "surrogateescape"), missing)
    secrets = tuple(user.secret for user in users)
    return _Contents(
        users={user.name: user for user in users},
        bad=bad,
        secrets=secrets,
        scram_only=bool(secrets) and all(isinstance(secret, ScramSecret) for secret in secrets),
        key=_key(secrets),
    )


def _why_none(bad: Sequence[BadLine]) -> str:
    return "; ".join(["it has no users", *describe_bad_lines(bad)])


def _key(secrets: Sequence[PasswordSecret]) -> bytes:
    """Return a key that only the secrets determine.

    It is the least of their digests, because that one seldom changes when a user is added, changed or removed.
    Otherwise a client could tell an unknown name by a salt that changes with the file.
    """
    digests = (hashlib.blake2b(stored_octets(secret), person=b"stand-in").digest() for secret in secrets)
    return min(digests, default=b"")
