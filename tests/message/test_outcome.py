"""Outcomes as values."""

import typing

import pytest

from mta.message.outcome import Delivered, Discarded, ErrorKind, Failed, Outcome, TryLater


def test_there_are_three_outcomes_and_each_has_a_status_of_its_class() -> None:
    found = {kind: kind("", "").status[0] for kind in typing.get_args(Outcome)}
    assert found == {Delivered: "2", TryLater: "4", Failed: "5"}


def test_the_relay_reports_success_unless_the_next_host_does() -> None:
    assert not Delivered("250 ok", "mx.test").reports_success


def test_outcomes_with_the_same_text_are_equal() -> None:
    assert Failed("550 no", "mx.test") == Failed("550 no", "mx.test")
    assert Failed("451 no", "mx.test") != TryLater("451 no", "mx.test")  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("kind", [None, *ErrorKind])
def test_a_failure_can_be_sent_to_another_process_as_words(kind: ErrorKind | None) -> None:
    failure = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1", kind=kind)
    assert all(type(word) is str for word in failure.words)
    assert TryLater.of_words(*failure.words) == failure


def test_a_recipient_that_a_rule_discarded_has_the_rule_as_its_text_and_no_host() -> None:
    discarded = Discarded('20-routes.toml:3 "no newsletters"')
    assert (discarded.text, discarded.host) == ('discarded by the rule 20-routes.toml:3 "no newsletters"', "")
