"""The order in which hosts and addresses are tried (RFC 5321 section 5.1). Pure but for the dice."""

import random
from collections.abc import Iterable, Sequence
from itertools import chain, islice, zip_longest

from mta.dns.answers import MxRecord


def in_order(records: Iterable[MxRecord], rng: random.Random) -> list[MxRecord]:
    """Return MX records by preference, in random order among equals, each host once at its best preference."""
    best: dict[str, MxRecord] = {}
    for record in sorted(records):
        best.setdefault(record.host, record)
    return sorted(best.values(), key=lambda record: (record.preference, rng.random()))


def preferred_to(records: Iterable[MxRecord], limit: int | None) -> list[MxRecord]:
    """Return the records preferred to `limit`, the best preference that is ourselves; None: all of them.

    RFC 5321 section 5.1: our own record and all that are no better than it are dropped, or mail would go in circles.
    """
    return [record for record in records if limit is None or record.preference < limit]


def interleave(addresses: Iterable[str], rng: random.Random) -> list[str]:
    """Return a host's addresses with the families in turn, IPv6 first, each in random order."""
    v6: list[str] = []
    v4: list[str] = []
    for address in dict.fromkeys(addresses):
        (v6 if ":" in address else v4).append(address)
    rng.shuffle(v6)
    rng.shuffle(v4)
    return [address for address in chain.from_iterable(zip_longest(v6, v4)) if address is not None]


def fair_shares(hosts: Sequence[Sequence[str]], total: int) -> list[Sequence[str]]:
    """Cut the hosts' addresses so that all together are at most `total`, given out one each in turn.

    So a host with many addresses leaves room for the hosts after it.
    """
    taken = [0] * len(hosts)
    rounds = range(max(map(len, hosts), default=0))
    turns = (index for turn in rounds for index, addresses in enumerate(hosts) if turn < len(addresses))
    for index in islice(turns, total):
        taken[index] += 1
    return [addresses[:count] for addresses, count in zip(hosts, taken, strict=True)]
