"""B25: the first message to a domain, for which the relay has no policy and no proof of the DNS yet."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.new_domains import Publication, first_deliveries
from bench.row import RELAY, Bench, Figures, Goal
from bench.server import LeftOut
from harness import network_namespace, zone_servers

#: The signed domain for a relay that follows no policies.
OFF = "policies off"
#: Seconds by which each answer of the DNS is late in the last two cases, as on the Internet.
_LATE = 0.02
_OFF = {"MTA_STS": "off", "DANE": "off"}
#: The data that the domains publish, and the settings of the relay. Without a name of its own it is the signed domain.
_CASES: Mapping[str, tuple[Publication, Mapping[str, str]]] = {
    RELAY: (Publication(dane=True), {}),
    "unsigned domain": (Publication(), {}),
    "MTA-STS": (Publication(sts=True), {}),
    OFF: (Publication(dane=True), _OFF),
    "20 ms a query": (Publication(dane=True, delay=_LATE), {}),
    f"20 ms a query, {OFF}": (Publication(dane=True, delay=_LATE), _OFF),
}


@dataclass(frozen=True, slots=True)
class FirstMail:
    """The row. The time runs from the last octet of the message until the MX host has it."""

    name: str = "B25"
    words: str = "the first message to a signed domain with TLSA records"
    contenders: Sequence[str] = tuple(_CASES)
    goals: Sequence[Goal] = (Goal("median ms", 50, at_most=True), Goal("queries", 9, at_most=True))

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one message to each of some domains."""
        if reason := zone_servers.why_not() or network_namespace.why_not():
            raise LeftOut(reason)
        publication, settings = _CASES[contender]
        with tempfile.TemporaryDirectory(dir=bench.directory) as home:
            first, *others = first_deliveries(Path(home), bench.amount(40, 6), publication, **settings)
        times = [each.seconds * 1000 for each in others]
        return {
            "median ms": median(times),
            "least ms": min(times),
            "most ms": max(times),
            "queries": median(each.queries for each in others),
            "after a start: ms": first.seconds * 1000,
            "after a start: queries": first.queries,
        }


ROW = FirstMail()
