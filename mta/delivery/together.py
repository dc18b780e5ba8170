"""Holds the answers of the DNS for one message together, but not for long."""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from mta.delivery.job import Group
from mta.routing.route import Routing

#: Seconds for which recipients wait for the look-ups of others, so that those who share a destination share a
#: transaction. A domain whose servers are silent takes half a minute, and delays nobody else's mail for longer.
PATIENCE = 1.0

Answers = Sequence[tuple[Routing, Group]]


class Together:
    """Takes the answers to `expected` questions; `send` gets those of the first second at once, others one by one."""

    def __init__(self, expected: int, send: Callable[[Answers], None], clock: IReactorTime) -> None:
        self._expected = expected
        self._send = send
        self._answers: list[tuple[Routing, Group]] = []
        self._patience = clock.callLater(PATIENCE, self._flush)

    def answered(self, routing: Routing, group: Group) -> None:
        """Take the routing of a group's recipients."""
        self._answers.append((routing, group))
        self.ended()

    def ended(self) -> None:
        """Count out one question, answered or not."""
        self._expected -= 1
        if not self._expected and self._patience.active():
            self._patience.cancel()
        if not self._patience.active():
            self._flush()

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            self._send(answers)
