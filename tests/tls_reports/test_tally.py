"""The counts of sessions, their bounds, and their way through a file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.tls_reports import tally as tallies
from mta.tls_reports.tally import CountedPolicy, FailedSession, PolicyType, Tally, read_tally, short_text, tally_object

STS = CountedPolicy(PolicyType.STS, ("version: STSv1", "mode: enforce"), ("*.a.test",))
NONE = CountedPolicy(PolicyType.NONE)
EXPIRED = FailedSession("certificate-expired", "192.0.2.1", "mx.a.test", "192.0.2.2", "it has expired")

policies = st.builds(
    CountedPolicy, st.sampled_from(PolicyType), st.tuples(st.sampled_from(("one", "two"))), st.just(())
)
failures = st.none() | st.builds(FailedSession, st.text(max_size=9), host=st.text(max_size=9))


def through_json(tally: Tally) -> Tally:
    return read_tally(json.loads(json.dumps(tally_object(tally))))


def test_sessions_are_counted_by_domain_policy_and_result() -> None:
    tally = Tally()
    for domain, policy, failure in (
        ("a.test", STS, None),
        ("a.test", STS, None),
        ("a.test", STS, EXPIRED),
        ("a.test", STS, EXPIRED),
        ("a.test", NONE, None),
        ("b.test", NONE, FailedSession("starttls-not-supported")),
    ):
        tally.count(domain, policy, failure)
    sts, none = tally.domains["a.test"].values()
    assert (sts.good, sts.failed, dict(sts.failures)) == (2, 2, {EXPIRED: 2})
    assert (none.good, none.failed) == (1, 0)
    tally.drop("a.test")
    tally.drop("a.test")
    assert list(tally.domains) == ["b.test"]


def test_what_is_too_much_is_counted_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_DOMAINS", "MAX_POLICIES", "MAX_FAILURES"):
        monkeypatch.setattr(tallies, name, 2)
    tally = Tally()
    for host in ("one", "two", "three", "four", "two"):
        tally.count("a.test", NONE, FailedSession("validation-failure", host=host))
    (counts,) = tally.domains["a.test"].values()
    assert sorted((each.host, number) for each, number in counts.failures.items()) == [("", 2), ("one", 1), ("two", 2)]
    for number in range(3):
        tally.count("b.test", CountedPolicy(PolicyType.STS, (str(number),)), None)
        tally.count(f"{number}.test", NONE, None)
    assert len(tally.domains["b.test"]) == 2
    assert list(tally.domains) == ["a.test", "b.test"]


@given(st.lists(st.tuples(st.sampled_from("abc"), policies, failures), max_size=20))
def test_a_tally_is_the_same_behind_a_file_and_twice_as_much_if_added_to_itself(sessions) -> None:
    tally = Tally()
    for session in sessions:
        tally.count(*session)
    read = through_json(tally)
    assert read.domains == tally.domains
    read.add(tally)
    assert sum(counts.good for each in read.domains.values() for counts in each.values()) == 2 * sum(
        failure is None for _, _, failure in sessions
    )


@pytest.mark.parametrize("value", [None, [], {"a": 1}, {"a": [{}]}, {"a": [{"type": "x"}]}, {"a": [[]]}])
def test_another_object_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a tally|not a valid PolicyType"):
        read_tally(value)


def test_a_long_text_is_shortened() -> None:
    assert short_text("x" * 200) == "x" * 200
    assert short_text("x" * 201) == "x" * 197 + "..."
