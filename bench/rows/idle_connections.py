"""B13: thousands of connected clients send no command, while others send mail."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.processes import resident_mb
from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.sending import Load, pass_through
from harness.crowd import descriptors

NONE_IDLE = "no idle connections"
#: Descriptors that a run needs beyond those of the idle clients.
_OTHERS = 500


@dataclass(frozen=True, slots=True)
class IdleConnections:
    """The cost of idle connections: memory each, and speed of the active sessions."""

    name: str = "B13"
    words: str = "5,000 idle connections, 4 KiB over 20 others"
    contenders: Sequence[str] = (RELAY, NONE_IDLE)
    goals: Sequence[Goal] = (
        Goal("accepts/s", 0.9, against=NONE_IDLE),
        Goal("KB a connection", 50, at_most=True),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Connect, then send; after each step of the curve, and for the row's figures at its end."""
        most, messages = bench.amount(5000, 500), bench.amount(4000, 1000)
        counts = (0,) if contender == NONE_IDLE else bench.amount((most // 10, most // 2, most), (most,))
        load, figures = Load(), dict[str, float]()
        with descriptors(most + _OTHERS), bench.sink() as sink, bench.server(RELAY, sink.port) as server:
            pass_through(server, sink, load, messages // 2)
            before = resident_mb(server.pid)
            with ExitStack() as idle:
                for last, count in zip((0, *counts), counts, strict=False):
                    for _ in range(count - last):
                        idle.enter_context(_greeted(server.port))
                    each = (resident_mb(server.pid) - before) * 1000 / max(1, count)
                    accepts = pass_through(server, sink, load, messages).accepts
                    figures |= {"KB a connection": each, "accepts/s": accepts}
                    figures[f"accepts/s @ {count} connections"] = accepts
        return figures


def _greeted(port: int) -> socket.socket:
    """Return an accepted connection. Raises RuntimeError with the relay's reply if it was refused."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    greeting = client.recv(512)
    if not greeting.startswith(b"220"):
        client.close()
        raise RuntimeError(f"an idle client was turned away: {greeting!r}")
    return client


ROW = IdleConnections()
