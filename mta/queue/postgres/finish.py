"""Moves messages whose recipients are all final to the history."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from mta.queue.postgres.change import QueueChange
from mta.queue.sql.statements import read_statements


@dataclass(frozen=True, slots=True)
class FinishStatements:
    """The statements, a field for each in finish.sql. A name that only one of the two has is an error at import."""

    finish: str


_SQL = read_statements(FinishStatements, (files("queue_schema") / "postgres" / "finish.sql").read_text("utf-8"))


def finish(change: QueueChange, numbers: Sequence[int], now: float) -> list[int]:
    """Move those of these messages in which no recipient waits to the history; return their row numbers in order.

    The history names the change's node and the token of the message's last claim. The transaction must have locked the
    rows of `message` already, because the recipients are read as they were when the statement began. The caller counts
    the recipients. Raises QueueError as `QueueChange.rows` does.
    """
    if not numbers:
        return []
    values = {"ids": list(numbers), "node": change.node, "now": now}
    return [number for (number,) in change.rows(_SQL.finish, values)]
