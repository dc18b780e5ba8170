"""B18: the load of B1 by the operator's rules: twenty that all have something to do, and none."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.sending import warm_passage
from bench.rule_files import TWENTY

#: The relay without rules.
NO_RULES = "no rules"


@dataclass(frozen=True, slots=True)
class Rules:
    """The row."""

    name: str = "B18"
    words: str = "20 rules that all have something to do: 4 KiB, 20 sessions, reused connections, end to end"
    contenders: Sequence[str] = (RELAY, NO_RULES)
    goals: Sequence[Goal] = (
        Goal("CPU ms/message", 1.05, at_most=True, against=NO_RULES),
        Goal("end-to-end/s", 0.95, against=NO_RULES),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one round's messages through a relay with the rules of the contender."""
        messages = bench.amount(5000, 600)
        settings = {"RULES_DIR": "@HOME@"} if contender == RELAY else {}
        files = {"10-rules.toml": TWENTY.encode()} if contender == RELAY else {}
        with bench.sink() as sink, bench.server(RELAY, sink.port, relay=settings, files=files) as server:
            return warm_passage(server, sink, messages).figures()


ROW = Rules()
