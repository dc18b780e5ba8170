"""The addresses of this host from which rules want connections to be made, and the trouble with one that is not there.

A `[[transport]]` rule names at most one address of each family. Connections by the other family are made from the
address that the system chooses.
"""

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectBindError

from mta.routing.route import Route
from mta.smtp.client.dialogue import FailureKind, SessionFailure

if TYPE_CHECKING:
    from mta.routing.carriage import Carriage

#: Seconds after which the operator is told again that an address is missing.
TELL_AGAIN = 3600.0
# The addresses of which it is remembered that they were told. There are as many as rules name.
_MOST_TOLD = 1000


def source_of(route: Route, carriage: "Carriage | None") -> str | None:
    """Return the address from which to connect to a route; None if the system is to choose."""
    if carriage is None or not carriage.source or route.address.startswith("/"):
        return None
    is_ipv6 = ":" in route.address
    return next((address for address in carriage.source if (":" in address) == is_ipv6), None)


def missing_source(
    error: BaseException | None, source: str | None, carriage: "Carriage | None"
) -> SessionFailure | None:
    """Return the failure of a connection whose source is not an address of this host; None for any other failure."""
    if source is None or carriage is None or not isinstance(error, ConnectBindError):
        return None
    if error.osError != errno.EADDRNOTAVAIL:
        return None
    rules = " or ".join(carriage.places)
    text = f"cannot send from {source}, which is not an address of this host: correct source in {rules}, or add it"
    return SessionFailure(FailureKind.LOCAL, "4.3.5", text)


class SourceTroubles:
    """Tells the operator that mail waits for an address, once an hour for each."""

    def __init__(self, trouble: Callable[[str], object], seconds: Callable[[], float]) -> None:
        """`trouble` logs a line; `seconds` is a monotonic clock."""
        self._trouble = trouble
        self._seconds = seconds
        self._told: dict[str, float] = {}

    def tell(self, text: str) -> None:
        """Log the text of a failure, unless that was done less than an hour ago."""
        now = self._seconds()
        told = self._told.get(text)
        if told is not None and now - told < TELL_AGAIN:
            return
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told[text] = now
        self._trouble(f"{text}; the mail waits")
