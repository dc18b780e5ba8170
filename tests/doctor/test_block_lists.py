"""The checks of block lists: listed, unlisted, and lists that refuse to answer."""

from dataclasses import replace

import pytest

from mta.doctor.block_lists import BlockListFacts, check_block_lists
from mta.doctor.findings import Level
from tests.doctor.zone import FAILED, dns_of

FACTS = BlockListFacts(("list.test",), ("192.0.2.7", "2001:db8::7"), ("192.0.2.53",))
V6 = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.test"
LIST = {("2.0.0.127.list.test", "A"): ["127.0.0.2"]}


def levels(zone, facts=FACTS):
    return [each.level for each in check_block_lists(facts, dns_of(zone))]


def test_addresses_that_are_not_listed_are_in_order():
    assert levels(LIST) == [Level.OK, Level.OK]


def test_a_listed_address_is_a_failure_with_the_reason_of_the_list():
    zone = LIST | {("7.2.0.192.list.test", "A"): ["127.0.0.3"], ("7.2.0.192.list.test", "TXT"): ["see list.test"]}
    first, second = check_block_lists(FACTS, dns_of(zone))
    assert (first.level, second.level) == (Level.FAILURE, Level.OK)
    assert "127.0.0.3: see list.test" in first.seen
    assert levels(LIST | {(V6, "A"): ["127.0.0.2"]}) == [Level.OK, Level.FAILURE]


def test_a_list_that_fails_is_a_warning():
    assert levels(LIST | {("7.2.0.192.list.test", "A"): FAILED}) == [Level.WARNING, Level.OK]


@pytest.mark.parametrize(
    "zone",
    [
        {},
        {("2.0.0.127.list.test", "A"): FAILED},
        {("2.0.0.127.list.test", "A"): ["127.255.255.254"]},
        LIST | {("1.0.0.127.list.test", "A"): ["127.0.0.2"]},
    ],
)
def test_a_list_that_does_not_answer_as_a_list_should_is_skipped(zone):
    assert levels(zone) == [Level.SKIPPED]


@pytest.mark.parametrize(
    "change", [{"lists": ()}, {"addresses": ()}, {"servers": ("8.8.8.8",)}, {"by_smarthost": True}]
)
def test_no_list_is_asked_in_vain(change):
    asked = []

    def look_up(name, kind):
        asked.append((name, kind))
        raise AssertionError

    (found,) = check_block_lists(replace(FACTS, **change), look_up)
    assert found.level is Level.SKIPPED
    assert asked == []


def test_an_answer_that_refuses_the_question_lists_no_address():
    assert levels(LIST | {("7.2.0.192.list.test", "A"): ["127.255.255.255"]}) == [Level.OK, Level.OK]
