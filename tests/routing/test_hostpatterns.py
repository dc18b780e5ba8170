"""Host patterns: the names they match, and the patterns that are refused because they could run very long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.routing.hostpatterns import PatternError, check_pattern, matches


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("mail.example.test", "mail.example.test", True),
        ("MAIL.Example.Test", "mail.EXAMPLE.test", True),
        ("example.test", "mail.example.test", False),
        ("mail.example.test", "mail.example.test.", True),
        ("*.example.test", "mail.example.test", True),
        ("*.example.test", "a.b.example.test", True),
        ("*.example.test", "example.test", False),
        ("*example.test", "example.test", True),
        ("*Example.test", "badexample.test", True),
        ("*", "anything", True),
        ("*", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.10", False),
        (r"^smtp\d+\.example\.test$", "SMTP12.example.test", True),
        (r"^smtp\d+\.example\.test$", "smtp.example.test", False),
        (r"^smtp", "smtp.anything.test", True),
        (r"^smtp", "my.smtp.test", False),
    ],
)
def test_patterns_match_as_in_exim(pattern: str, name: str, expected: bool) -> None:
    check_pattern(pattern)
    assert matches([pattern], name) is expected
    assert matches(["other.test", pattern], name) is expected


def test_no_pattern_matches_nothing() -> None:
    assert not matches([], "mail.example.test")


@pytest.mark.parametrize(
    "pattern", ["^(", "^[", "^*", r"^a{2,1}", "", "x" * 201, r"^(a+)+$", r"^(a|aa)*x", r"^(a){1,9}x"]
)
def test_a_pattern_that_is_invalid_or_could_run_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        check_pattern(pattern)


def test_too_many_repetitions_are_refused_and_escaped_ones_are_not_counted() -> None:
    check_pattern(r"^[^*+]*\.mail\+\*\{3\}.*\.test(eu|us)?[)*]+$")
    with pytest.raises(PatternError, match="more than 3"):
        check_pattern(r"^.*a.*b.*c.*d")


def test_a_name_longer_than_any_host_matches_nothing() -> None:
    assert not matches(["*"], "a" * 254)


@settings(max_examples=200)
@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_passes_the_check_can_be_matched(pattern: str, name: str) -> None:
    for candidate in (pattern, "^" + pattern, "*" + pattern):
        try:
            check_pattern(candidate)
        except PatternError:
            continue
        matches([candidate], name)
