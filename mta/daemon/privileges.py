"""Drops root privileges once the ports are open and the secrets are read.

A relay that would stay root with a port below 1024 does not start.
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
    """Root privileges cannot be dropped, or must be dropped and RUN_AS is not set. The message says what to do."""


def is_root() -> bool:
    """Whether the real, effective or saved user id of this process is root."""
    return 0 in os.getresuid()


def target_identity(settings: Settings) -> Identity | None:
    """Return the user that a relay started as root must become, or None if it stays root. Raises PrivilegeError."""
    chosen = settings.run_as
    if chosen is None or chosen.is_root:
        _refuse_root(settings)
        return None
    return chosen


def require_allowed_user(settings: Settings) -> None:
    """Raise PrivilegeError if a relay with these settings must not run as the current user."""
    _refuse_root(settings)
    for path, name in _authorities(settings):
        if not os.access(path, os.R_OK, effective_ids=True):
            raise PrivilegeError(f"{name}: let user id {os.geteuid()} read it, which the relay runs as")


def _authorities(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield the files of authorities, each with its setting in words."""
    if path := settings.smarthost_ca_file:
        yield path, f"SMARTHOST_CA_FILE={path}"
    routes = settings.rules.router if settings.rules else None
    for smarthost in routes.smarthosts if routes else ():
        if path := smarthost.ca_file:
            yield path, f"ca_file={path} of {smarthost.place}"


def _refuse_root(settings: Settings) -> None:
    lowest = min(settings.ports)
    if lowest >= UNPRIVILEGED_PORTS or not is_root():
        return
    written = "" if settings.run_as is None else f", not RUN_AS={settings.run_as}"
    raise PrivilegeError(
        f"the relay would hold port {lowest} as root: set RUN_AS to the user it is to become{written},"
        " or start it as that user with the right CAP_NET_BIND_SERVICE"
    )


def become(identity: Identity) -> None:
    """Become this user irrevocably and drop all capabilities, also for the programs that this process starts.

    The process must have a single thread, and must end after a PrivilegeError.
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
    forbid_new_privileges()


def forbid_new_privileges() -> None:
    """Keep this process and its children from gaining privileges (no_new_privs, prctl(2))."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _empty_bounding_set() -> None:
    """Drop the capabilities that a program's file could grant. Without CAP_SETPCAP the set stays as it is."""
    number = 0
    while _prctl(_PR_CAPBSET_READ, number) >= 0:
        _prctl(_PR_CAPBSET_DROP, number)
        number += 1


def _drop_capabilities() -> None:
    """Empty all capability sets, because a change of the user may leave the ambient and the inheritable ones."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)())


def _prctl(option: int, argument: int) -> int:
    """Call prctl(2). A negative result is a failure."""
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
    """Return the line for the log about the user of this process."""
    uid, gid = os.geteuid(), os.getegid()
    name = f"{settings.run_as}, " if settings.run_as is not None and settings.run_as.uid == uid else ""
    return f"runs as: {name}user id {uid}, group id {gid}"


def privilege_notices(settings: Settings) -> Iterator[str]:
    """Yield notices if the relay runs as root, or cannot read a file again that root has read at the start."""
    if is_root() and settings.run_as is None:
        yield "the relay runs as root, which it does not need: set RUN_AS to the user that it is to become"
    for name, path in _read_again(settings):
        if path is not None and not os.access(path, os.R_OK, effective_ids=True):
            yield (
                f"{name}={path}: user id {os.geteuid()} may not read it, so a new file is not used before the next"
                " start; let that user read it"
            )
    hidden = settings.rule_files.without_access()
    if hidden:
        more = f" and {len(hidden) - 1} more" if hidden[1:] else ""
        yield (
            f"rules: user id {os.geteuid()} may not read {hidden[0]}{more}, so changed rules are not taken up before"
            " the next start; let that user read it"
        )


def _read_again(settings: Settings) -> Iterator[tuple[str, Path | None]]:
    """Yield the files that are read at the start and again when they change."""
    yield "CERTIFICATE_PATH", settings.certificate_path
    yield "KEY_PATH", settings.key_path
    yield "DKIM_KEY_PATH", settings.dkim_key_path
    yield "AUTH_USERS_FILE", settings.auth_users_file
    if settings.client_certificate is not None:
        yield from zip(("SMARTHOST_CERTIFICATE_PATH", "SMARTHOST_KEY_PATH"), settings.client_certificate, strict=True)
    if settings.admin is not None and settings.admin.certificate is not None:
        yield from zip(("ADMIN_CERTIFICATE_PATH", "ADMIN_KEY_PATH"), settings.admin.certificate, strict=True)
