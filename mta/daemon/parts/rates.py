"""Builds the parts that keep to the rates of rules, once a destination has one."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from mta.blocking import RunBlocking
from mta.daemon.parts.context import RelayContext
from mta.event_log.log import EventLog

# Imported when they are built, because a relay without rules has no rates.
if TYPE_CHECKING:
    from mta.delivery.rates.broker import RateBroker, SendTo
    from mta.delivery.rates.leave import Leave, Leaves


class OwnRates:
    """The rates of a relay that is one process."""

    def __init__(self, context: RelayContext) -> None:
        self._context = context
        self._broker: RateBroker | None = None
        self._leaves: Leaves | None = None

    def new_leave(self, name: str, places: Mapping[str, str], changed: Callable[[], object]) -> "Leave":
        """Return the leave of a destination, as a NewLeave."""
        if self._leaves is None:
            self._leaves = self._build()
        return self._leaves.new(name, places, changed)

    def close(self) -> None:
        """Write the counts to the file. To be called after the last transaction has ended."""
        if self._broker is not None:
            self._broker.close()

    def _build(self) -> "Leaves":
        from mta.delivery.rates.leave import Leaves  # noqa: PLC0415

        context = self._context
        directory, clock = context.settings.queue_dir, context.reactor

        def to_destination(_worker: int, verb: str, /, *arguments: object) -> None:
            to_leaves[verb](*arguments)

        broker = self._broker = rate_broker(directory, clock, context.in_thread, context.event_log, to_destination)
        to_broker = broker.handlers(0)

        def to_the_broker(verb: str, /, *arguments: object) -> None:
            to_broker[verb](*arguments)

        leaves = Leaves(to_the_broker, time.time)
        to_leaves = leaves.handlers()
        return leaves


def rate_broker(
    directory: Path, clock: IReactorTime, run: RunBlocking, event_log: EventLog, send: "SendTo"
) -> "RateBroker":
    """Return a broker whose file is in `directory`; `run` writes to it, `send` sends lines to workers."""
    from mta.delivery.rates.broker import RateBroker  # noqa: PLC0415
    from mta.delivery.rates.journal import FILE_NAME, RateFile  # noqa: PLC0415

    journal = RateFile(
        directory / FILE_NAME, run=run, clock=clock.seconds, wall_clock=time.time, trouble=event_log.trouble
    )
    return RateBroker(clock, send, journal)
