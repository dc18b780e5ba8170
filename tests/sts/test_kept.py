"""The policies that a relay keeps: how long each is in force, when it is renewed, and which make room for others."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.sts import kept as module
from mta.sts.kept import FASTEST_RENEWAL, RENEWAL, SHORTEST, UNUSED, KeptPolicies, KeptPolicy
from mta.sts.policy import MAX_AGE, StsMode, StsPolicy

NOW = 1_800_000_000.0
WEEK = 604_800


def kept(max_age: int = WEEK, used: float = NOW, mx: tuple[str, ...] = ("mx.test",), id: str = "1") -> KeptPolicy:
    return KeptPolicy(StsPolicy(StsMode.ENFORCE, mx, max_age), id, NOW, used)


def with_policies(*domains: str, max_age: int = WEEK) -> KeptPolicies:
    policies = KeptPolicies()
    for domain in domains:
        policies.put(domain, kept(max_age))
    return policies


def test_a_policy_is_in_force_for_as_long_as_it_says() -> None:
    policies = with_policies("a.test")
    assert policies.get("a.test", NOW + WEEK - 1) == kept()
    assert policies.get("a.test", NOW + WEEK) is None
    assert policies.get("b.test", NOW) is None


def test_a_policy_that_lives_no_time_is_in_force_for_five_minutes() -> None:
    policies = with_policies("a.test", max_age=0)
    assert policies.get("a.test", NOW + SHORTEST - 1)
    assert policies.get("a.test", NOW + SHORTEST) is None


@given(st.integers(0, MAX_AGE), st.text(max_size=20))
def test_a_policy_is_renewed_within_a_day_and_before_its_end_unless_that_comes_within_hours(
    age: int, name: str
) -> None:
    one = kept(age)
    wait = one.renewal(name) - NOW
    assert FASTEST_RENEWAL <= wait <= RENEWAL
    assert wait < one.until - NOW or age < 2 * FASTEST_RENEWAL
    if age >= 2 * RENEWAL:
        assert wait >= 0.75 * RENEWAL


def test_renewals_are_spread() -> None:
    times = sorted(kept().renewal(f"{number}.test") for number in range(1000))
    hours = {int((time - NOW) // 3600) for time in times}
    assert hours == {18, 19, 20, 21, 22, 23}


def test_a_use_is_saved_once_a_day() -> None:
    policies = with_policies("a.test")
    policies.take_changes()
    policies.use("a.test", NOW + 86_399)
    policies.use("b.test", NOW)
    assert policies.take_changes() == {}
    policies.use("a.test", NOW + 86_400)
    assert policies.take_changes() == {"a.test": kept(used=NOW + 86_400)}
    # The clock was set back.
    policies.use("a.test", NOW)
    assert policies.take_changes() == {"a.test": kept()}


def test_old_policies_are_dropped() -> None:
    policies = with_policies("old.test")
    policies.put("unused.test", kept(MAX_AGE))
    policies.drop_old(NOW + WEEK - 1)
    assert len(policies) == 2
    policies.drop_old(NOW + WEEK)
    assert len(policies) == 1
    policies.take_changes()
    policies.drop_old(NOW + UNUSED - 1)
    assert policies.get("unused.test", NOW)
    policies.drop_old(NOW + UNUSED)
    assert len(policies) == 0
    assert policies.take_changes() == {"unused.test": None}


def test_a_policy_that_was_fetched_while_the_clock_was_ahead_lasts_no_longer_than_others() -> None:
    policies = with_policies("a.test")
    policies.take_changes()
    now = NOW - 10 * MAX_AGE
    policies.drop_old(now)
    assert policies.get("a.test", now + WEEK - 1)
    assert policies.get("a.test", now + WEEK) is None
    assert policies.take_renewable(now + RENEWAL, 1) == ["a.test"]
    assert set(policies.take_changes()) == {"a.test"}


def test_the_policy_that_was_not_used_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DOMAINS", 2)
    policies = with_policies("a.test", "b.test")
    policies.use("a.test", NOW + 1)
    policies.put("c.test", kept())
    assert [bool(policies.get(domain, NOW)) for domain in ("a.test", "b.test", "c.test")] == [True, False, True]
    assert policies.take_changes()["b.test"] is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OCTETS", 100_000)
    policies = KeptPolicies()
    for number in range(100):
        policies.put(f"{number % 50}.test", kept(mx=tuple(f"{each}.mx.test" for each in range(100))))
    assert 1 <= len(policies) <= 6


def test_policies_of_the_file_do_not_replace_newer_ones() -> None:
    policies = with_policies("a.test")
    policies.take_changes()
    policies.load({"a.test": kept(id="old"), "b.test": kept()})
    found = policies.get("a.test", NOW)
    assert found is not None
    assert found.id == "1"
    assert policies.get("b.test", NOW)
    assert policies.take_changes() == {}


def test_the_policies_used_last_of_the_file_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DOMAINS", 2)
    policies = KeptPolicies()
    policies.load({f"{number}.test": kept(used=NOW - number) for number in range(4)})
    assert [bool(policies.get(f"{number}.test", NOW)) for number in range(4)] == [True, True, False, False]


def test_changes_that_were_not_saved_come_again_under_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = with_policies("a.test", "b.test")
    changes = policies.take_changes()
    policies.put("a.test", kept(id="2"))
    policies.put_back(changes)
    assert policies.take_changes() == {"a.test": kept(id="2"), "b.test": kept()}
    monkeypatch.setattr(module, "MAX_DOMAINS", 3)
    policies.put_back(dict.fromkeys(f"{number}.test" for number in range(7)))
    assert policies.take_changes() == {"a.test": kept(id="2"), "b.test": kept()}


def test_renewable_policies() -> None:
    policies = with_policies("a.test")
    assert policies.take_renewable(NOW + 0.74 * RENEWAL, 9) == []
    assert policies.take_renewable(NOW + RENEWAL, 0) == []
    assert policies.take_renewable(NOW + RENEWAL, 9) == ["a.test"]
    assert policies.take_renewable(NOW + RENEWAL, 9) == []
    policies.renew_at("a.test", NOW + RENEWAL + 300)
    policies.renew_at("gone.test", NOW)
    assert policies.take_renewable(NOW + RENEWAL + 299, 9) == []
    assert policies.take_renewable(NOW + RENEWAL + 300, 9) == ["a.test"]


def test_a_policy_that_changes_all_the_time_takes_no_more_memory() -> None:
    policies = with_policies("b.test")
    for number in range(5000):
        policies.put("a.test", replace(kept(), fetched=NOW + number))
    assert len(policies._renewals) < 1100
    latest = replace(kept(), fetched=NOW + 4999).renewal("a.test")
    assert "a.test" not in policies.take_renewable(latest - 1, 9)
    assert "a.test" in policies.take_renewable(latest, 9)
