"""The order of MX hosts and addresses, as properties over random records."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mta.dns.answers import MxRecord
from mta.routing.mx_order import by_preference, fair_shares, interleave, preferred_to

RECORDS = st.lists(st.builds(MxRecord, st.integers(0, 5), st.sampled_from("abcdefg")), max_size=12)
ADDRESSES = st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"]), max_size=8)
DICE = st.randoms(use_true_random=False)


@settings(max_examples=100)
@given(RECORDS, DICE)
def test_preference_is_never_out_of_order_and_each_host_comes_once_at_its_best(
    records: list[MxRecord], rng: random.Random
) -> None:
    ordered = by_preference(records, rng)
    preferences = [record.preference for record in ordered]
    assert preferences == sorted(preferences)
    assert sorted(record.host for record in ordered) == sorted({record.host for record in records})
    for record in ordered:
        assert record.preference == min(other.preference for other in records if other.host == record.host)


def test_equals_come_in_every_order() -> None:
    records = [MxRecord(10, host) for host in "abc"]
    rng = random.Random(1)
    orders = {tuple(record.host for record in by_preference(records, rng)) for _ in range(200)}
    assert len(orders) == 6


@settings(max_examples=100)
@given(RECORDS, st.integers(0, 6))
def test_the_cut_leaves_only_strictly_better_hosts(records: list[MxRecord], limit: int) -> None:
    kept = preferred_to(records, limit)
    assert all(record.preference < limit for record in kept)
    assert all(record in kept for record in records if record.preference < limit)
    assert preferred_to(records, None) == records


@settings(max_examples=100)
@given(ADDRESSES, DICE)
def test_families_take_turns_with_ipv6_first_and_nothing_is_lost(addresses: list[str], rng: random.Random) -> None:
    mixed = interleave(addresses, rng)
    assert sorted(mixed) == sorted(set(addresses))
    families = [":" in address for address in mixed]
    both = 2 * min(families.count(True), families.count(False))
    assert families[:both] == [True, False] * (both // 2)


@settings(max_examples=100)
@given(st.lists(ADDRESSES, max_size=6), st.integers(0, 12))
def test_shares_keep_to_the_total_and_serve_each_host_before_any_gets_more(hosts: list[list[str]], total: int) -> None:
    cut = fair_shares(hosts, total)
    assert sum(map(len, cut)) == min(total, sum(map(len, hosts)))
    for mine, addresses in zip(cut, hosts, strict=True):
        assert mine == addresses[: len(mine)]
        if len(mine) < len(addresses):
            assert all(len(other) <= len(mine) + 1 for other in cut)
