"""What systemd wants to hear from a service of Type=notify: sd_notify(3), and signs of life for its watchdog."""

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

# A datagram waits while the manager's queue of them is full, and all of the relay with it: a second, no longer.
_PATIENCE = 1.0
_DIGITS = re.compile(r"[0-9]{1,19}")
_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Manager:
    """The service manager that started us, if one did."""

    #: The address of its datagram socket for socket(7), "" when nobody listens. An abstract one starts with a NUL.
    address: str
    #: Without a sign of life for this many seconds we are killed; None: nobody watches.
    watchdog: float | None = None


def find_manager(environ: Mapping[str, str], pid: int) -> Manager:
    """Return the manager that an environment names to this process. What is written wrongly counts as not set."""
    place = environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return Manager("")
    return Manager("\0" + place[1:] if place[0] == "@" else place, _watchdog(environ, pid))


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    text = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", "") in {"", str(pid)}
    return (int(text) / _MICROSECONDS or None) if meant and _DIGITS.fullmatch(text) else None


class ManagerService(Service):
    """Tells the manager that we are ready, as long as we live, and that we stop.

    Add it when all else runs: its start is the news. Signs of life come from the reactor; one that hangs gives none.
    """

    def __init__(
        self,
        manager: Manager,
        clock: IReactorTime,
        trouble: Callable[[str], object],
        *,
        well: Callable[[], bool] = lambda: True,
    ) -> None:
        """`trouble` is told in one line, once, that the manager cannot be reached. No sign of life while not `well`."""
        self._manager = manager
        self._clock = clock
        self._trouble = trouble
        self._well = well
        self._timer: IDelayedCall | None = None
        self._reachable = True

    def startService(self) -> None:
        """Be ready, and begin the signs of life: one in half the time that the manager allows."""
        super().startService()
        self._tell("READY=1")
        if self._manager.address and self._manager.watchdog is not None:
            self._beat(self._manager.watchdog / 2)

    def stopService(self) -> None:
        """Say that we stop. Signs of life end with it: while we stop, the manager waits for TimeoutStopSec instead."""
        super().stopService()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._tell("STOPPING=1")

    def status(self, words: str) -> None:
        """Show a line of ours in `systemctl status`; line breaks become blanks."""
        self._tell(f"STATUS={' '.join(words.splitlines())}")

    def _beat(self, wait: float) -> None:
        self._timer = self._clock.callLater(wait, self._beat, wait)
        if self._well():
            self._tell("WATCHDOG=1")

    def _tell(self, news: str) -> None:
        if not self._manager.address:
            return
        try:
            _send(self._manager.address, news.encode())
        except (OSError, ValueError) as error:
            if self._reachable:
                self._trouble(f"the service manager cannot be told {news}: {error}; see NOTIFY_SOCKET")
            self._reachable = False
        else:
            self._reachable = True


def _send(address: str, datagram: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(_PATIENCE)
        manager.sendto(datagram, address)
