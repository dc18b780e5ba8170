"""The cases of `bench.hosts`: the DNS zone, the faults, and the table."""

from bench.hosts import Case, FaultAt, Seen, cases, table, zone
from bench.scripted import Step

CASES = cases()


def test_each_fault_is_tried_at_each_step():
    assert len({(case.step, case.fault) for case in CASES}) == len(CASES) == 7 * 5 + 3
    assert {case.fault for case in CASES if case.step is Step.BODY} == {"421", "close", "time-out"}


def test_each_case_has_hosts_of_its_own_in_order_of_preference():
    records = zone(CASES)
    addresses = [address for case in CASES for address in case.addresses]
    assert len(set(addresses)) == 2 * len(CASES)
    assert "198.51.100.250" not in addresses
    for case in CASES:
        first, second = case.addresses
        assert records[case.domain] == {"MX": [[10, f"first.{case.domain}"], [20, f"second.{case.domain}"]]}
        assert records[f"first.{case.domain}"] == {"A": [first]}
        assert records[f"second.{case.domain}"] == {"A": [second]}


def test_a_first_host_answers_badly_at_its_step_only():
    script = FaultAt(Step.RCPT, "451 no")
    assert {step: script.reply(step, 1, 0.0) for step in Step if script.reply(step, 1, 0.0)} == {Step.RCPT: "451 no"}


def test_the_table_says_where_each_message_was_seen_and_when():
    chosen = [Case(1, Step.MAIL, "4yz"), Case(2, Step.MAIL, "5yz"), Case(3, Step.STARTTLS, "4yz")]
    seen = {
        "one": {1: [Seen("second", 0.14)], 2: [], 3: [Seen("first", 0.2, encrypted=False)]},
        "other": {1: [Seen("second", 3.0)], 2: [Seen("second", 1.0), Seen("returned", 3.1)]},
    }
    assert table(seen, chosen).splitlines() == [
        "| one / other | 4yz | 5yz |",
        "|---|---|---|",
        "| MAIL | second 0.1 / 3.0 | one: **waits**; other: second and returned 1.0, 3.1 |",
        "| STARTTLS | one: first in clear 0.2; other: **waits** |  |",
    ]
