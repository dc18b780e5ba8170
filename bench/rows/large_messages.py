"""B7: messages that are too large to be held in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.processes import peak_mb
from bench.recipients import RecipientSink
from bench.row import EXIM, POSTFIX, RELAY, Bench, Figures, Goal
from bench.rows.sending import Load, pass_through, warm_up

_LOAD = Load(octets=10 * 1024 * 1024, sessions=4)


@dataclass(frozen=True, slots=True)
class Large:
    """The row, before a sink that is faster than smtp-sink. The peak is of all the server's processes together."""

    name: str = "B7"
    words: str = "10 MiB, 4 sessions, reused connections, end to end"
    contenders: Sequence[str] = (RELAY, POSTFIX, EXIM)
    goals: Sequence[Goal] = (Goal("MB/s", 1.5, against=POSTFIX), Goal("peak MB", 150, at_most=True))

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one round's messages through a fresh server."""
        messages = bench.amount(40, 8)
        with RecipientSink() as sink, bench.server(contender, sink.port) as server:
            warm_up(server, sink, _LOAD, _LOAD.sessions)
            passage = pass_through(server, sink, _LOAD, messages)
            peak = peak_mb(server.pid)
        megabyte = _LOAD.octets / 1e6
        return {
            "MB/s": passage.deliveries * megabyte,
            "accepts MB/s": passage.accepts * megabyte,
            "CPU ms/MB": passage.cpu_seconds * 1000 / (messages * megabyte),
            "peak MB": peak,
        }


ROW = Large()
