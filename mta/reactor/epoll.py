"""The relay's reactor: Twisted's for epoll, with a shorter way for input.

Almost all events of a relay are input and no more. For each of them Twisted's reactor asks the descriptor for the
prefix of log lines, makes a logging context with it, and checks that the descriptor is open: a tenth of a message's
instructions (measured). The event log has no such prefixes, and a descriptor that was closed is not in the reactor.
"""

import sys
from select import EPOLLIN
from typing import Any

from mta.reactor.late_modules import load_late

# The reactor imports it for connectSSL and listenSSL, which the relay does not use. It takes 2 MB (measured).
load_late("twisted.internet.ssl")

from twisted.internet.epollreactor import EPollReactor  # noqa: E402
from twisted.internet.main import installReactor  # noqa: E402
from twisted.python import log  # noqa: E402
from twisted.python.reflect import namedAny  # noqa: E402

_WITHOUT_END = -1.0


class RelayReactor(EPollReactor):
    """Waits by epoll, and reads input at once; every other event and every fault takes Twisted's own way."""

    def doPoll(self, timeout: float | None) -> None:  # noqa: N802  Twisted names it
        """Wait for events at most `timeout` seconds, without a limit if it is None, and handle those that came."""
        selectables = self._selectables
        for descriptor, event in self._poller.poll(_WITHOUT_END if timeout is None else timeout, len(selectables)):
            selectable = selectables.get(descriptor)
            if selectable is None:
                # The handling of an earlier event has closed it.
                continue
            if event != EPOLLIN:
                log.callWithLogger(selectable, self._doReadOrWrite, selectable, descriptor, event)
                continue
            try:
                lost = selectable.doRead()
            except BaseException as error:  # noqa: BLE001  a fault with one connection must not end the others, as in Twisted
                log.callWithLogger(selectable, self._fail, selectable, error)
            else:
                if lost:
                    log.callWithLogger(selectable, self._disconnectSelectable, selectable, lost, isRead=True)

    doIteration = doPoll  # noqa: N815

    def _fail(self, selectable: Any, error: BaseException) -> None:
        """Log the exception that is being handled, and close the connection that raised it."""
        log.err()
        self._disconnectSelectable(selectable, error, isRead=False)


def install() -> None:
    """Make this the reactor of the process. Raises ReactorAlreadyInstalledError."""
    installReactor(RelayReactor())


def install_unless_chosen() -> None:
    """Make this the reactor of the process, unless it has another one already: that of `twistd --reactor`."""
    if "twisted.internet.reactor" not in sys.modules:
        install()


def install_same(module: str) -> None:
    """Make a reactor as that of another process, of which `module` has the class and its `install`."""
    namedAny(module).install()
