"""The order in which hosts and addresses are tried (RFC 5321 section 5.1), with random choices by `rng`."""

import random
from collections.abc import Iterable, Sequence
from itertools import chain, islice, zip_longest

from mta.dns.answers import MxRecord


def by_preference(records: Iterable[MxRecord], rng: random.Random) -> list[MxRecord]:
    """Return MX records by preference, in random order among equals; a host appears once, at its best preference."""
    best: dict[str, MxRecord] = {}
    for record in sorted(records):
        best.setdefault(record.host, record)
    return sorted(best.values(), key=lambda record: (record.preference, rng.random()))


def preferred_to(records: Iterable[MxRecord], limit: int | None) -> list[MxRecord]:
    """Return the records with a better preference than `limit`, the best one of this relay; all if it is None.

    RFC 5321 section 5.1: the relay's own record and all that are not better are dropped, because mail would loop.
    """
    return [record for record in records if limit is None or record.preference < limit]


def interleave(addresses: Iterable[str], rng: random.Random) -> list[str]:
    """Return a host's addresses with the families alternating, IPv6 first, each in random order."""
    v6: list[str] = []
    v4: list[str] = []
    for address in dict.fromkeys(addresses):
        (v6 if ":" in address else v4).append(address)
    rng.shuffle(v6)
    rng.shuffle(v4)
    return [address for address in chain.from_iterable(zip_longest(v6, v4)) if address is not None]


def fair_shares(hosts: Sequence[Sequence[str]], total: int) -> list[Sequence[str]]:
    """Cut each host's addresses so that there are at most `total`, which the hosts get one at a time in turn.

    Therefore a host with many addresses leaves room for the hosts after it.
    """
    taken = [0] * len(hosts)
    rounds = range(max(map(len, hosts), default=0))
    turns = (index for turn in rounds for index, addresses in enumerate(hosts) if turn < len(addresses))
    for index in islice(turns, total):
        taken[index] += 1
    return [addresses[:count] for addresses, count in zip(hosts, taken, strict=True)]
