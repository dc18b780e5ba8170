"""B5: messages are accepted and not delivered. The ceiling is the relay's listener with no queue behind it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.load import Source
from bench.relay import Relay
from bench.row import EXIM, POSTFIX, RELAY, Bench, Figures, Goal
from bench.rows.sending import share
from bench.server import Place, Server
from harness.daemon import Daemon
from harness.waiting import until

CEILING = "ceiling"

_WARM = 200
_ROUND_SECONDS = 120.0
# No message is sent on, but the configuration needs a port.
_NOWHERE = 9
_VARIANTS = {RELAY: "held", CEILING: "ceiling"}


class Variant(Relay):
    """A listener of bench.variants in the place of the daemon."""

    def __init__(self, place: Place, variant: str) -> None:
        super().__init__(place, {})
        self._variant = variant

    @cached_property
    def daemon(self) -> Daemon:
        """The daemon's environment, with another program in it."""
        daemon = super().daemon
        daemon.child.command = [sys.executable, "-P", "-m", "bench.variants", self._variant]
        return daemon


@dataclass(frozen=True, slots=True)
class Held:
    """The row."""

    name: str = "B5"
    words: str = "4 KiB, 20 sessions, accepted only, delivery held"
    contenders: Sequence[str] = (RELAY, CEILING, POSTFIX, EXIM)
    goals: Sequence[Goal] = (
        Goal("accepts/s", 5.0, against=POSTFIX),
        Goal("accepts/s", 0.7, against=CEILING),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send messages, and see that all are kept."""
        messages = share(contender, bench.amount(6000, 1500))
        with self._server(bench, contender) as server:
            send(server, _WARM)
            seconds = send(server, messages)
            if contender != CEILING:
                _all_kept(server, _WARM + messages)
            return {"accepts/s": messages / seconds}

    def _server(self, bench: Bench, contender: str) -> Server:
        if contender in _VARIANTS:
            return Variant(Place(bench.directory, bench.cache, _NOWHERE, {}), _VARIANTS[contender])
        return bench.server(contender, _NOWHERE, postfix={"defer_transports": "smtp"}, exim={"queue_only": "true"})


def send(server: Server, messages: int) -> float:
    """Return the seconds from the first connect until the last 250."""
    with Source(server.port, messages) as source:
        until(lambda: source.ended, _ROUND_SECONDS, what=f"message {messages} accepted")
        source.finish()
    return source.ended - source.begun


def _all_kept(server: Server, messages: int) -> None:
    """See that the queue holds them all; one that moves from folder to folder is counted twice for a moment."""
    what = f"a queue with all {messages} messages that were accepted"
    until(lambda: server.waiting() == messages, _ROUND_SECONDS, what=what)


ROW = Held()
