"""Giving root up: what a relay that was started as root does once its ports are open and its secrets are read.

Nobody holds a port below 1024 as root: a relay that may become nobody else does not start.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mta.config.identity import UNPRIVILEGED_PORTS, Identity
from mta.config.settings import Settings

# Of linux/prctl.h and linux/capability.h.
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 23, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522


class PrivilegeError(Exception):
    """Root could not be given up, or must be and nobody is named; one line says what to do."""


def is_root() -> bool:
    """Whether this process is root or may become it again: by its real, effective or saved user id."""
    return 0 in os.getresuid()


def successor(settings: Settings) -> Identity | None:
    """Return whom a relay that is root must become, None if it goes on as root. Raises PrivilegeError."""
    chosen = settings.run_as
    if chosen is None or chosen.is_root:
        _refuse_root(settings)
        return None
    return chosen


def refuse_who_we_are(settings: Settings) -> None:
    """Return if a relay with these settings may be the user that we are now. Raises PrivilegeError."""
    _refuse_root(settings)
    path = settings.smarthost_ca_file
    if path is not None and not os.access(path, os.R_OK, effective_ids=True):
        raise PrivilegeError(f"SMARTHOST_CA_FILE={path}: let user id {os.geteuid()} read it, which the relay became")


def _refuse_root(settings: Settings) -> None:
    if settings.port >= UNPRIVILEGED_PORTS or not is_root():
        return
    written = "" if settings.run_as is None else f", not RUN_AS={settings.run_as}"
    raise PrivilegeError(
        f"the relay would hold port {settings.port} as root: set RUN_AS to the user it is to become{written},"
        " or start it as that user with the right CAP_NET_BIND_SERVICE"
    )


def become(identity: Identity) -> None:
    """Be this user from here on, with no way back and no capability, not even for programs that this one starts.

    Raises PrivilegeError, and the process must then end. It is for a process that has one thread as yet.
    """
    _empty_bounding_set()
    try:
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        raise PrivilegeError(
            f"RUN_AS={identity}: root cannot become this user ({error.strerror}): let it keep the capabilities"
            " SETUID and SETGID, or start the relay as this user"
        ) from None
    if not _is_for_good(identity):
        raise PrivilegeError(
            f"RUN_AS={identity}: the relay could become root again: start it without secure bits that keep capabilities"
        )
    _drop_capabilities()
    refuse_new_privileges()


def refuse_new_privileges() -> None:
    """Have the kernel give this process, and all that it starts, no rights that it has not now (no_new_privs)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _empty_bounding_set() -> None:
    """Leave no capability that a program could bring in its file. Without CAP_SETPCAP the set stays as it is."""
    number = 0
    while _prctl(_PR_CAPBSET_READ, number) >= 0:
        _prctl(_PR_CAPBSET_DROP, number)
        number += 1


def _drop_capabilities() -> None:
    """Empty the sets that a change of the user may leave: ambient and inheritable, and with them all others."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)())


def _prctl(option: int, argument: int) -> int:
    """Call prctl(2); return a negative number if it fails."""
    result: int = ctypes.CDLL(None).prctl(option, *(ctypes.c_ulong(each) for each in (argument, 0, 0, 0)))
    return result


def _is_for_good(identity: Identity) -> bool:
    same = (
        os.getresuid() == (identity.uid,) * 3
        and os.getresgid() == (identity.gid,) * 3
        and set(os.getgroups()) == set(identity.groups)
    )
    return same and not _may_return()


def _may_return() -> bool:
    with suppress(PermissionError):
        os.setuid(0)
        return True
    return False


def running_as(settings: Settings) -> str:
    """Return who we are, for the log."""
    uid, gid = os.geteuid(), os.getegid()
    name = f"{settings.run_as}, " if settings.run_as is not None and settings.run_as.uid == uid else ""
    return f"runs as: {name}user id {uid}, group id {gid}"


def privilege_notices(settings: Settings) -> Iterator[str]:
    """Yield what an operator is to know of our being root, or of files that root alone may read."""
    if is_root() and settings.run_as is None:
        yield "the relay runs as root, which it does not need: set RUN_AS to the user it is to become"
    for name, path in _read_again(settings):
        if path is not None and not os.access(path, os.R_OK, effective_ids=True):
            yield (
                f"{name}={path}: user id {os.geteuid()} may not read it: a new one put there does not count before the"
                " next start; let that user read it"
            )


def _read_again(settings: Settings) -> Iterator[tuple[str, Path | None]]:
    """Yield what is read at the start and again when it changes."""
    yield "CERTIFICATE_PATH", settings.certificate_path
    yield "KEY_PATH", settings.key_path
    yield "DKIM_KEY_PATH", settings.dkim_key_path
