"""Work that blocks: the interface by which packages run it, in threads on which the process decides, and its parts."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

T = TypeVar("T")


class RunBlocking(Protocol):
    """Runs work where blocking is allowed: in a thread, or at once."""

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        """Return a Deferred that fires in the reactor's thread with the result of the work, or with its exception."""


def run_inline(work: Callable[[], T], /) -> "Deferred[T]":
    """Run work at once in the calling thread, for commands and tests."""
    # Imported if needed, because `smtprelay health` syncs nothing and must start soon.
    from twisted.internet.defer import execute  # noqa: PLC0415

    return execute(work)


def result_of(done: "Deferred[T]") -> T:
    """Return the result of a Deferred that has fired already, or raise its error."""
    results: list[Any] = []
    failures: list[Any] = []
    done.addCallbacks(results.append, failures.append)
    for failure in failures:
        failure.raiseException()
    result: T = results[0]
    return result


def fsync_path(path: Path) -> None:
    """Sync a file, or the names in a folder, to disk. Raises OSError.

    A power failure may otherwise undo that a file was made or renamed in the folder.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
