"""Results for a command, which has no reactor running: of work that has ended already, and of work in the reactor."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

T = TypeVar("T")


def result(waiting: "Deferred[T]") -> T:
    """Return the result of a Deferred that has fired already, because its work does not wait, or raise its error."""
    results: list[T | Failure] = []
    waiting.addBoth(results.append)
    return _value(results)


def answer(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits, because all that it awaits has ended, or raise its error."""
    try:
        work.send(None)
    except StopIteration as ended:
        found: T = ended.value
        return found
    work.close()
    raise RuntimeError(f"{work} waits, but a command has no reactor that is running")


def run_in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run work, which is given the reactor, and return its result or raise its error.

    The reactor can run once in a process. Raises click.Abort if an interrupt from the terminal ends it.
    """
    from twisted.internet import reactor as chosen  # noqa: PLC0415
    from twisted.internet.defer import Deferred  # noqa: PLC0415

    reactor: Any = chosen
    results: list[T | Failure] = []

    def begin() -> None:
        Deferred.fromCoroutine(work(reactor)).addBoth(results.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not results:
        raise click.Abort
    return _value(results)


def _value(results: "list[T | Failure]") -> T:
    from twisted.python.failure import Failure  # noqa: PLC0415

    (found,) = results
    if isinstance(found, Failure):
        found.raiseException()
    return found
