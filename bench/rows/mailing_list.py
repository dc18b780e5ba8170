"""B10: one message to a long list. How it is split into transactions is the server's affair."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.client import Client, content
from bench.recipients import RecipientSink
from bench.row import EXIM, POSTFIX, RELAY, Bench, Figures, Goal
from bench.server import Server
from harness.waiting import until

_RECIPIENTS = [f"someone{number}@domain{number % 100}.example.test" for number in range(1000)]
_SECONDS = 60.0
_MESSAGE = content()


@dataclass(frozen=True, slots=True)
class List:
    """The row. The time runs from the connect until the sink has taken the message for every recipient."""

    name: str = "B10"
    words: str = "one message, 1,000 recipients in 100 domains, to the smarthost"
    contenders: Sequence[str] = (RELAY, POSTFIX, EXIM)
    goals: Sequence[Goal] = (Goal("recipients/s", 2, against=POSTFIX),)

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send the message a few times, each when the one before has arrived."""
        with RecipientSink() as sink, bench.server(contender, sink.port) as server:
            _send(server, sink)
            times = [_send(server, sink) for _ in range(bench.amount(7, 3))]
            transactions = sink.transactions / (len(times) + 1)
        seconds = median(times)
        return {"recipients/s": len(_RECIPIENTS) / seconds, "s": seconds, "transactions": transactions}


def _send(server: Server, sink: RecipientSink) -> float:
    goal = sink.delivered + len(_RECIPIENTS)
    began = time.perf_counter()
    with Client(server.port) as client:
        client.send(_RECIPIENTS, _MESSAGE)
    until(lambda: sink.delivered >= goal, _SECONDS, what="the last recipient")
    return sink.latest - began


ROW = List()
