"""TLS_POLICY as a value: the first entry that matches decides, and `*` is a default that weakens nothing."""

import pytest

from mta.routing.demands.tls_policy import TlsLevel, TlsPolicy, TlsPolicyEntry
from mta.routing.route import TlsRule


def entry(pattern: str, level: str = "require") -> TlsPolicyEntry:
    return TlsPolicyEntry(pattern, TlsLevel(level))


POLICY = TlsPolicy((entry("a.test", "verify"), entry("*.a.test", "none"), entry("*", "dane")))


@pytest.mark.parametrize(
    ("domain", "level"),
    [("a.test", "verify"), ("A.Test", "verify"), ("x.a.test", "none"), ("x.y.a.test", "none"), ("ba.test", None)],
)
def test_the_first_entry_that_matches_decides(domain: str, level: str | None) -> None:
    found = POLICY.entry(domain)
    assert (found and found.level.value) == level


def test_the_entry_for_all_is_a_default_and_decides_for_no_domain() -> None:
    assert POLICY.default == entry("*", "dane")
    assert TlsPolicy((entry("*", "none"),)).entry("a.test") is None
    assert TlsPolicy((entry("a.test"),)).default is None


def test_an_entry_without_a_dot_matches_domains_with_the_ending() -> None:
    policy = TlsPolicy((entry("*a.test"),))
    assert policy.entry("ba.test") is policy.entry("a.test") is policy.entries[0]
    assert policy.entry("a.test.b") is None


@pytest.mark.parametrize(
    ("first", "second"),
    [("*", "a.test"), ("*", "*"), ("*.a.test", "x.a.test"), ("*.a.test", "*.x.a.test"), ("a.test", "a.test")],
)
def test_an_entry_that_covers_another_one_leaves_it_no_domain(first: str, second: str) -> None:
    assert entry(first).covers(entry(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [("*.a.test", "a.test"), ("*.x.a.test", "*.a.test"), ("a.test", "*.a.test"), ("a.test", "*"), ("*.a.test", "*")],
)
def test_an_entry_that_leaves_another_one_a_domain_does_not_cover_it(first: str, second: str) -> None:
    assert not entry(first).covers(entry(second))


def test_each_level_has_the_tls_of_its_routes() -> None:
    assert [level.rule for level in TlsLevel] == [*TlsRule, TlsRule.REQUIRE]


def test_the_policy_is_shown_as_an_operator_writes_it() -> None:
    assert str(POLICY) == "a.test=verify; *.a.test=none; *=dane"
