"""Turns errors of the database into the errors of the queue, in words for an operator."""

import re

import psycopg
from psycopg import errors

from mta.queue.interface import QueueError, QueueFull


class OutcomeUnknown(QueueError):
    """The connection was lost, or the server warned, so that the statement may be durable, or done, or neither."""


class DatabaseAway(QueueError):
    """No connection to the database can be made at present."""


class Conflict(QueueError):
    """The transaction was rolled back because of another one (SQLSTATE 40001, 40P01), so it may be tried again."""


class LockTimeout(Conflict):
    """A row stayed locked by another transaction for too long (SQLSTATE 55P03)."""


class Fenced(QueueError):
    """The other relays have fenced this node off, so that it cannot change the queue any more. Nothing was done."""


_NO_ROOM = (errors.DiskFull, errors.OutOfMemory, errors.InsufficientResources)
_CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected)

# libpq writes one of these for each host that it tried.
_FAILED = re.compile(r'server (?:at|on socket) "([^"\n]*)"(?:, port ([0-9]+))? failed: (?:FATAL: +)?([^\n]*)')
_MOST_TEXT = 1000
_STANDBY = "is read-only"
_REMEDIES = {
    "password authentication failed": "check QUEUE_PASSWORD and the user in QUEUE_URL",
    "no password supplied": "set QUEUE_PASSWORD",
    "does not exist": "create it, or correct QUEUE_URL",
    "does not support SSL": "turn TLS on at the server",
    "certificate verify failed": "name its authority by sslrootcert in QUEUE_URL",
    _STANDBY: "name the server that takes changes in QUEUE_URL",
    "no pg_hba.conf entry": "admit this host in pg_hba.conf of the server",
    "too many clients": "raise max_connections of the server",
    "remaining connection slots": "raise max_connections of the server",
}


def no_connection(error: psycopg.Error) -> DatabaseAway:
    """Return the error for a connection that could not be made: each host once with its reason, and a remedy."""
    found = dict.fromkeys(_FAILED.findall(str(error)))
    hosts = [f"{host} port {port}: {reason}" if port else f"{host}: {reason}" for host, port, reason in found]
    text = ("; ".join(hosts) or first_line(error))[:_MOST_TEXT]
    # Beside a server that failed its standby is as it should be.
    faults = "\n".join(host for host in hosts if _STANDBY not in host) or text
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in faults), "")
    return DatabaseAway(f"no connection to the database: {text}{remedy and f': {remedy}'}")


def as_queue_error(error: BaseException, *, broken: bool = False) -> QueueError:
    """Return the QueueError for an error, which becomes its cause. `broken` tells that the connection was lost."""
    if isinstance(error, QueueError):
        return error
    queue_error = _translated(error, broken)
    queue_error.__cause__ = error
    return queue_error


def _translated(error: BaseException, broken: bool) -> QueueError:
    text = first_line(error)
    if broken:
        return OutcomeUnknown(f"the connection to the database was lost ({text})")
    if isinstance(error, _CONFLICTS):
        return Conflict(f"another transaction was in the way ({text})")
    if isinstance(error, errors.LockNotAvailable):
        return LockTimeout(f"another transaction has kept its rows locked for too long ({text})")
    if isinstance(error, _NO_ROOM):
        return QueueFull(f"the database has no room ({text}): free space on its server")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return OutcomeUnknown(f"the database takes no changes at present ({text})")
    if isinstance(error, errors.UniqueViolation) and error.diag.constraint_name == "message_pkey":
        return QueueError(f"a message is in the queue already ({text})")
    if isinstance(error, errors.InsufficientPrivilege):
        return QueueError(f"the user of QUEUE_URL lacks a right ({text}): grant it")
    return QueueError(f"the queue request failed: {text}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, in which the server says what was wrong."""
    diagnostic = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return diagnostic or next(iter(str(error).strip().splitlines()), type(error).__name__)
