"""B19: the load of B1 with all of the operator's view: metrics, events, page and subjects; and with none of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.sending import Load, pass_through, warm_up
from harness.event_receiver import EventReceiver
from harness.processes import free_port

#: The relay without metrics, events, page and subjects.
ALL_OFF = "all off"


@dataclass(frozen=True, slots=True)
class OperatorView:
    """The row."""

    name: str = "B19"
    words: str = "metrics, events, the operator's page and subjects: 4 KiB, 20 sessions, reused connections, end to end"
    contenders: Sequence[str] = (RELAY, ALL_OFF)
    goals: Sequence[Goal] = (
        Goal("CPU ms/message", 1.03, at_most=True, against=ALL_OFF),
        Goal("end-to-end/s", 0.97, against=ALL_OFF),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one round's messages through a relay with all of it or none."""
        messages = bench.amount(5000, 600)
        with EventReceiver("a secret of the bench") as receiver:
            receiver.start()
            settings = _all_on(receiver) if contender == RELAY else {"LOG_SUBJECT": "no"}
            with bench.sink() as sink, bench.server(RELAY, sink.port, relay=settings) as server:
                warm_up(server, sink, Load(), messages // 10)
                return pass_through(server, sink, Load(), messages).figures()


def _all_on(receiver: EventReceiver) -> Mapping[str, str]:
    return {
        "METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        "ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "EVENTS_URL": receiver.url,
        "EVENTS_SECRET": receiver.secret,
        "LOG_SUBJECT": "yes",
    }


ROW = OperatorView()
