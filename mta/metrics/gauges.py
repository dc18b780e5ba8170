"""Figures that are asked at the time of a scrape: the queue, the destinations, the process."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mta import __version__
from mta.metrics.metric import Samples, largest
from mta.metrics.table import MOST_DESTINATIONS
from mta.queue.interface import Load, Space, Status, Summary

_STATM = Path("/proc/self/statm")
# Characters of a destination's name in a label.
_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class DestinationFigures:
    """One destination at the time of a scrape."""

    name: str
    #: Groups of recipients in memory that wait for a connection.
    waiting: int
    connections: int
    down: bool
    throttled: bool


def queue_samples(summary: Summary, load: Load, space: Space, now: float, seconds: float) -> Samples:
    """Return the figures of a queue at `now`, wall-clock seconds; reading them took `seconds`."""
    ledger = summary.ledger
    figures: dict[str, float] = {
        "queue_messages": summary.messages,
        "queue_held_messages": summary.held,
        "queue_in_delivery_messages": summary.claimed,
        "queue_oldest_seconds": 0.0 if summary.oldest is None else max(0.0, now - summary.oldest),
        "queue_recipients": summary.recipients.get(Status.WAITING, 0),
        "history_messages": summary.finished,
        "queue_due_messages": load.due,
        "queue_late_seconds": 0.0 if load.first_due is None else max(0.0, now - load.first_due),
        "queue_bytes": load.octets,
        "queue_free_bytes": space.total,
        "queue_full": int(space.full),
        "queue_read_seconds": seconds,
        "ledger_missing": ledger.missing,
    }
    samples: Samples = {(name, ()): value for name, value in figures.items()}
    for term in ("accepted", "delivered", "failed", "removed", "waiting"):
        samples["ledger_recipients", (term,)] = getattr(ledger, term)
    return samples


def destination_samples(destinations: Iterable[DestinationFigures], most: int = MOST_DESTINATIONS) -> Samples:
    """Return the figures of the destinations. At most `most` have series of their own."""
    known = down = throttled = connections = 0
    waiting: dict[str, float] = {}
    downs: dict[str, float] = {}
    for each in destinations:
        known += 1
        down += each.down
        throttled += each.throttled
        connections += each.connections
        name = each.name[:_NAME_LENGTH]
        if each.waiting:
            waiting[name] = waiting.get(name, 0) + each.waiting
        if each.down:
            downs[name] = 1
    samples: Samples = {
        ("destinations", ()): known,
        ("destinations_down", ()): down,
        ("destinations_throttled", ()): throttled,
        ("connections", ("out",)): connections,
    }
    samples.update({("destination_waiting", (name,)): value for name, value in largest(waiting, most).items()})
    samples.update({("destination_down", (name,)): value for name, value in largest(downs, most).items()})
    return samples


def process_samples(started: float) -> Samples:
    """Return the figures of this process, which started at this wall-clock time."""
    return {
        ("memory_bytes", ()): resident_octets(),
        ("processes", ()): 1,
        ("build_info", (__version__, platform.python_version())): 1,
        ("start_time_seconds", ()): started,
    }


def resident_octets() -> int:
    """Return the octets of memory that this process has in RAM."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
