"""RUN_AS: whom a relay that is started as root becomes, looked up in the system's list of users."""

import grp
import os
import pwd
import re
from dataclasses import dataclass

#: Looked for when RUN_AS is not set.
USUAL_USER = "smtprelay"
#: Ports below this one take a right to open, which nobody is to keep.
UNPRIVILEGED_PORTS = 1024

_NUMBER = re.compile(r"[0-9]{1,10}")
# The last one stands for "leave it as it is" in the system's calls.
_MOST = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and the groups it is in, as numbers; `written` is how an operator names it."""

    written: str
    uid: int
    gid: int
    #: All groups, `gid` among them.
    groups: tuple[int, ...]

    @property
    def is_root(self) -> bool:
        """Whether to become this user is to stay root."""
        return self.uid == 0

    def __str__(self) -> str:
        """Give it as it was written."""
        return self.written


def read_identity(text: str) -> Identity:
    """Read `user`, `user:group`, or numbers in place of either. Raises ValueError with words for an operator."""
    user, colon, group = text.partition(":")
    entry = _entry(user)
    uid = _number(user) if entry is None else entry.pw_uid
    if colon:
        gid = _gid(group)
    elif entry is not None:
        gid = entry.pw_gid
    else:
        raise ValueError(f"no user has the id {uid}: write its group too, as in {uid}:{uid}")
    # Groups that were given to the user count whichever group comes first, as they do when it logs in.
    groups = (gid,) if entry is None else tuple(os.getgrouplist(entry.pw_name, gid))
    return Identity(text, uid, gid, groups)


def usual_identity() -> Identity | None:
    """Return the user that our packages make, None where there is none."""
    try:
        return read_identity(USUAL_USER)
    except ValueError:
        return None


def _entry(user: str) -> pwd.struct_passwd | None:
    """Return the user's entry, None for a number that nobody has. Raises ValueError."""
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
        raise ValueError(f"{number} is no id of a user or group")
    return number
