"""Notifies systemd as a service of Type=notify must: readiness, status, watchdog and stop (sd_notify(3))."""

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Seconds. A datagram blocks the reactor thread while the manager's queue of datagrams is full.
_PATIENCE = 1.0
_DIGITS = re.compile(r"[0-9]{1,19}")
_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Manager:
    """The service manager that started the relay, if there is one."""

    #: The address of its datagram socket for socket(7), "" if there is no manager. An abstract one starts with a NUL.
    address: str
    #: The manager kills the relay after so many seconds without a watchdog message; None: it does not watch.
    watchdog: float | None = None


def find_manager(environ: Mapping[str, str], pid: int) -> Manager:
    """Return the manager that an environment names to this process. Malformed variables count as unset."""
    place = environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return Manager("")
    return Manager("\0" + place[1:] if place[0] == "@" else place, _watchdog(environ, pid))


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    text = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", "") in {"", str(pid)}
    return (int(text) / _MICROSECONDS or None) if meant and _DIGITS.fullmatch(text) else None


class ManagerService(Service):
    """Tells the manager that the relay is ready, that it is alive, and that it stops.

    Start it last, because its start tells that the relay is ready. The reactor sends the watchdog messages, so a
    reactor that hangs sends none.
    """

    def __init__(
        self,
        manager: Manager,
        clock: IReactorTime,
        trouble: Callable[[str], object],
        *,
        healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        """`trouble` gets a line once if the manager cannot be reached. Watchdog messages go out while `healthy`."""
        self._manager = manager
        self._clock = clock
        self._trouble = trouble
        self._healthy = healthy
        self._timer: IDelayedCall | None = None
        self._reachable = True

    def startService(self) -> None:
        """Tell that the relay is ready, and send watchdog messages twice in each period that the manager allows."""
        super().startService()
        self._notify("READY=1")
        if self._manager.address and self._manager.watchdog is not None:
            self._beat(self._manager.watchdog / 2)

    def stopService(self) -> None:
        """Tell that the relay stops, and end the watchdog messages: from now on TimeoutStopSec bounds the stop."""
        super().stopService()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._notify("STOPPING=1")

    def status(self, words: str) -> None:
        """Show a line in `systemctl status`; line breaks become blanks."""
        self._notify(f"STATUS={' '.join(words.splitlines())}")

    def _beat(self, wait: float) -> None:
        self._timer = self._clock.callLater(wait, self._beat, wait)
        if self._healthy():
            self._notify("WATCHDOG=1")

    def _notify(self, state: str) -> None:
        if not self._manager.address:
            return
        try:
            _send(self._manager.address, state.encode())
        except (OSError, ValueError) as error:
            if self._reachable:
                self._trouble(f"the service manager cannot be told {state}: {error}; see NOTIFY_SOCKET")
            self._reachable = False
        else:
            self._reachable = True


def _send(address: str, datagram: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(_PATIENCE)
        manager.sendto(datagram, address)
