"""The clocks and the log that all parts of the delivery side share: they come in as one value instead of three."""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from mta.event_log.log import EventLog


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """The surroundings of the delivery side."""

    #: Timers and monotonic seconds.
    clock: IReactorTime
    #: Returns the seconds since 1970.
    wall_clock: Callable[[], float]
    event_log: EventLog
