"""Reads RUN_AS, the user that a relay started as root becomes, from the system's user database."""

import grp
import os
import pwd
import re
from dataclasses import dataclass

#: The user to become if RUN_AS is not set and the user exists.
USUAL_USER = "smtprelay"
#: Ports below this one can be opened only with a privilege, which the relay must not keep.
UNPRIVILEGED_PORTS = 1024

_NUMBER = re.compile(r"[0-9]{1,10}")
# The largest number, 2^32 - 1, means "leave unchanged" in system calls.
_MOST = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and its groups, as numbers; `written` is the text of the operator."""

    written: str
    uid: int
    gid: int
    #: All groups, including `gid`.
    groups: tuple[int, ...]

    @property
    def is_root(self) -> bool:
        """Whether this is root."""
        return self.uid == 0

    def __str__(self) -> str:
        """Return the text of the operator."""
        return self.written


def read_identity(text: str) -> Identity:
    """Read `user`, `user:group`, or numbers in place of either. Raises ValueError with words for the operator."""
    user, colon, group = text.partition(":")
    entry = _entry(user)
    uid = _number(user) if entry is None else entry.pw_uid
    if colon:
        gid = _gid(group)
    elif entry is not None:
        gid = entry.pw_gid
    else:
        raise ValueError(f"no user has the id {uid}: add a group, as in {uid}:{uid}")
    # The user's supplementary groups apply with any primary group, as at a login.
    groups = (gid,) if entry is None else tuple(os.getgrouplist(entry.pw_name, gid))
    return Identity(text, uid, gid, groups)


def usual_identity() -> Identity | None:
    """Return the user that the relay's packages create, or None if it does not exist."""
    try:
        return read_identity(USUAL_USER)
    except ValueError:
        return None


def _entry(user: str) -> pwd.struct_passwd | None:
    """Return the user's entry, or None for a number without a user. Raises ValueError for an unknown name."""
    try:
        return pwd.getpwuid(_number(user)) if _NUMBER.fullmatch(user) else pwd.getpwnam(user)
    except KeyError:
        if _NUMBER.fullmatch(user):
            return None
        raise ValueError(f"there is no user {user!r} on this host") from None


def _gid(group: str) -> int:
    if _NUMBER.fullmatch(group):
        return _number(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {group!r} on this host") from None


def _number(text: str) -> int:
    number = int(text)
    if number > _MOST:
        raise ValueError(f"{number} is not a valid user or group id")
    return number
