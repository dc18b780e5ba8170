"""B24: a smarthost that offers CHUNKING, to which the relay sends a whole transaction in one write."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.recipients import RecipientSink
from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.sending import warm_passage

#: The relay before the same sink, which does not offer CHUNKING.
BY_DATA = "relay by DATA"


@dataclass(frozen=True, slots=True)
class Chunked:
    """The row."""

    name: str = "B24"
    words: str = "as B1, to a smarthost that offers CHUNKING"
    contenders: Sequence[str] = (RELAY, BY_DATA)
    goals: Sequence[Goal] = (
        Goal("CPU ms/message", 0.92, at_most=True, against=BY_DATA),
        Goal("CPU ms/message", 0.92, at_most=True, against=f"B1/{RELAY}"),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one round's messages through a fresh relay to a sink with or without CHUNKING."""
        messages = bench.amount(5000, 600)
        with RecipientSink(chunking=contender == RELAY) as sink, bench.server(RELAY, sink.port) as server:
            return warm_passage(server, sink, messages).figures()


ROW = Chunked()
