"""The names of operators, for the log of their orders."""

import os
import pwd
import re
from collections.abc import Mapping

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


def is_user(name: str) -> bool:
    """Return whether a text may be the name of a user."""
    return _USER.fullmatch(name) is not None


def operator_name(environ: Mapping[str, str]) -> str:
    """Return the user who runs this command; under sudo or doas, the user who called that."""
    user = os.geteuid()
    names = [environ.get("SUDO_USER", ""), environ.get("DOAS_USER", "")] if user == 0 else []
    return next(name for name in (*names, user_name(user)) if is_user(name))


def user_name(uid: int) -> str:
    """Return the name of a user, or the number of one without a name. May block."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
    return name if is_user(name) else str(uid)
