"""Domain lists: patterns and the domains that they match."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.address import AddressError
from mta.smtp.domains import DomainList, domain_list, parse_pattern

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize(
    ("pattern", "domain", "matched"),
    [
        ("a.test", "a.test", True),
        ("a.test", "A.TEST", True),
        ("A.Test", "a.test", True),
        ("a.test", "sub.a.test", False),
        ("a.test", "aa.test", False),
        ("*.x.test", "sub.x.test", True),
        ("*.x.test", "deep.sub.x.test", True),
        ("*.X.test", "Sub.x.TEST", True),
        ("*.x.test", "x.test", False),
        ("*.x.test", "ax.test", False),
        ("*x.test", "x.test", True),
        ("*x.test", "ax.test", True),
        ("*x.test", "sub.x.test", True),
        ("*", "anything.test", True),
        ("bücher.test", "xn--bcher-kva.test", True),
        ("*.bücher.test", "a.xn--bcher-kva.test", True),
    ],
)
def test_a_pattern_matches_what_exim_would_match(pattern: str, domain: str, matched: bool) -> None:
    assert domain_list([pattern]).matches(domain) is matched


def test_a_list_matches_the_domains_of_all_its_patterns() -> None:
    domains = domain_list(["a.test", "*.b.test"])
    assert [domains.matches(name) for name in ("a.test", "x.b.test", "b.test", "c.test")] == [True, True, False, False]


def test_an_empty_list_does_not_match_any_domain() -> None:
    assert not DomainList().matches("a.test")
    assert not DomainList().matches("")


def test_a_list_has_the_names_that_trusted_clients_may_write_in_addresses() -> None:
    assert domain_list(["My_Host", "*.b_c.test."]).patterns == ("my_host", "*.b_c.test")


def test_a_list_is_written_as_it_is_read_and_each_pattern_once() -> None:
    assert str(domain_list(["B.test", "*.a.test", "b.TEST"])) == "b.test : *.a.test"


@pytest.mark.parametrize(
    "pattern",
    ["", "a..b", "-a.test", "a..test", "**.a.test", "a.*.test", "*.", "[127.0.0.1]", "!a.test", "a b", "ü ü"],
)
def test_a_pattern_that_no_address_could_match_is_refused(pattern: str) -> None:
    with pytest.raises(AddressError):
        parse_pattern(pattern)


@given(DOMAINS, DOMAINS)
@settings(max_examples=100)
def test_a_wildcard_takes_sub_domains_and_never_the_domain_itself(sub: str, domain: str) -> None:
    domains = domain_list([f"*.{domain}"])
    assert domains.matches(f"{sub}.{domain}")
    assert not domains.matches(domain)


@given(st.text(max_size=20))
@settings(max_examples=200)
def test_parsing_a_pattern_twice_gives_the_same(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except AddressError:
        return
    assert parse_pattern(pattern) == pattern
