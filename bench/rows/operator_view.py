"""B19 to B22: the loads of B1, B5, B12 and B14 with all of the operator's view, and with none of it.

All of it is metrics, events to a receiver, the operator's page, and subjects.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.event_sink import EventSink
from bench.processes import cpu_seconds
from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.dead_destination import fresh_mail
from bench.rows.idle_relay import watch
from bench.rows.intake import send
from bench.rows.sending import USUAL, pass_through, warm_up
from harness.processes import free_port

#: The relay without metrics, events, page and subjects.
ALL_OFF = "all off"
# Seconds after the first messages. The relay loads its HTTP client once, for the first batch of events, and that would
# count as a cost of each message.
_LOADED = 1.5
_HOLD = b"[[acl]]\nhold = true\n"


@dataclass(frozen=True, slots=True)
class OperatorView:
    """A row. `measure` returns the figures of a relay with these settings."""

    name: str
    words: str
    goals: Sequence[Goal]
    measure: Callable[[Bench, Mapping[str, str]], Figures]
    contenders: Sequence[str] = (RELAY, ALL_OFF)

    def run(self, bench: Bench, contender: str) -> Figures:
        """Measure one round with all of the operator's view or none."""
        if contender == ALL_OFF:
            return self.measure(bench, {"LOG_SUBJECT": "no"})
        with EventSink() as receiver:
            return self.measure(bench, _all_on(receiver))


def _all_on(receiver: EventSink) -> Mapping[str, str]:
    return {
        "METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        "ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "EVENTS_URL": receiver.url,
        "EVENTS_SECRET": "a secret of the bench",
        "LOG_SUBJECT": "yes",
    }


def _end_to_end(bench: Bench, settings: Mapping[str, str]) -> Figures:
    messages = bench.amount(5000, 600)
    with bench.sink() as sink, bench.server(RELAY, sink.port, relay=settings) as server:
        warm_up(server, sink, USUAL, messages // 10)
        time.sleep(_LOADED)
        return pass_through(server, sink, USUAL, messages).figures()


def _accepted_only(bench: Bench, settings: Mapping[str, str]) -> Figures:
    """Measure the relay itself, unlike B5, whose listener has no operator's view; a rule holds all mail."""
    messages = bench.amount(6000, 1500)
    held = {**settings, "RULES_DIR": "@HOME@"}
    with bench.server(RELAY, 9, relay=held, files={"10-hold.toml": _HOLD}) as server:
        send(server, messages // 10)
        time.sleep(_LOADED)
        before = cpu_seconds(server.pid)
        seconds = send(server, messages)
        used = cpu_seconds(server.pid) - before
    return {"accepts/s": messages / seconds, "CPU ms/message": used * 1000 / messages}


def _beside_dead_hosts(bench: Bench, settings: Mapping[str, str]) -> Figures:
    return fresh_mail(bench, bench.amount(100_000, 5_000), settings)


def _at_most(figure: str) -> Goal:
    return Goal(figure, 1.03, at_most=True, against=ALL_OFF)


_VIEW = "metrics, events, the operator's page and subjects"
ROWS = (
    OperatorView(
        "B19",
        f"{_VIEW}: 4 KiB, 20 sessions, reused connections, end to end",
        (_at_most("CPU ms/message"), Goal("end-to-end/s", 0.97, against=ALL_OFF)),
        _end_to_end,
    ),
    OperatorView(
        "B20",
        f"{_VIEW}: 4 KiB, 20 sessions, accepted and held",
        (_at_most("CPU ms/message"), Goal("accepts/s", 0.97, against=ALL_OFF)),
        _accepted_only,
    ),
    OperatorView(
        "B21",
        f"{_VIEW}: 100,000 messages waiting for dead hosts, 50 fresh ones a second",
        (_at_most("CPU s"), _at_most("p99 ms")),
        _beside_dead_hosts,
    ),
    OperatorView("B22", f"{_VIEW}: idle", (Goal("resident MB", 75, at_most=True), _at_most("ready s")), watch),
)
