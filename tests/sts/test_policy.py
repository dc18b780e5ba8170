"""The policy of MTA-STS: its grammar, and the hosts that it allows."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.sts.policy import MAX_AGE, MAX_PATTERNS, MAX_POLICY, PolicyError, StsMode, StsPolicy, read_policy
from tests.strategies import domains

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


def test_the_policy_of_the_rfc() -> None:
    policy = StsPolicy(StsMode.ENFORCE, ("mail.example.com", "*.example.net"), 604800)
    assert read_policy(GOOD) == policy
    assert read_policy(GOOD.replace(b"\r\n", b"\n")) == policy
    assert read_policy(GOOD.removesuffix(b"\r\n")) == policy
    assert read_policy(b"\xef\xbb\xbf" + GOOD.replace(b"\r\n", b" \t\r\n") + b"\r\n\r\n") == policy
    assert read_policy(GOOD.replace(b": ", b":")) == policy
    assert read_policy("\n".join(policy.lines).encode()) == policy


def test_the_first_of_equal_fields_counts_but_for_mx() -> None:
    text = (
        b"mode: testing\nmax_age: 1\nversion: STSv1\nmode: enforce\nmx: B.test\nmx: a.test\nmx: b.test.\nmax_age: x\n"
    )
    assert read_policy(text) == StsPolicy(StsMode.TESTING, ("b.test", "a.test"), 1)


def test_unknown_fields_are_passed_over() -> None:
    assert read_policy(GOOD + "x-new.field_1: \u00fc any: thing\n".encode()) == read_policy(GOOD)


def test_mode_none_needs_no_mx() -> None:
    assert read_policy(b"version: STSv1\nmode: none\nmax_age: 0") == StsPolicy(StsMode.NONE, (), 0)


def test_a_long_life_counts_as_the_longest() -> None:
    for seconds in (MAX_AGE, MAX_AGE + 1, 9_999_999_999):
        assert read_policy(GOOD.replace(b"604800", str(seconds).encode())).max_age == MAX_AGE


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"version: STSv1\r\n", b"", "no line 'version: STSv1'"),
        (b"STSv1", b"STSv2", "no line 'version: STSv1'"),
        (b"version", b"Version", "no line 'version: STSv1'"),
        (b"mode: enforce\r\n", b"", "mode of the policy is missing"),
        (b"enforce", b"Enforce", "mode of the policy is 'Enforce'"),
        (b"enforce", b"\x1b[2J", r"mode of the policy is '\?\[2J'"),
        (b"max_age: 604800\r\n", b"", "max_age of the policy is missing"),
        (b"604800", b"-1", "max_age of the policy is '-1'"),
        (b"604800", b"1e3", "max_age"),
        (b"604800", "\u0661".encode(), "max_age"),
        (b"604800", b"1" * 11, "max_age"),
        (b"604800", b"", "max_age of the policy is missing"),
        (b"mx: mail.example.com\r\nmx: *.example.net\r\n", b"", "names no mx"),
        (b"*.example.net", b"", "mx missing of"),
        (b"*.example.net", b"*", "mx '\\*' of"),
        (b"*.example.net", b"*.*.example.net", "mx"),
        (b"*.example.net", b"a.*.example.net", "mx"),
        (b"*.example.net", b"*example.net", "mx"),
        (b"*.example.net", b".example.net", "mx"),
        (b"*.example.net", b"[192.0.2.1]", "mx"),
        (b"*.example.net", b"*.[192.0.2.1]", "mx"),
        (b"*.example.net", b"a b", "mx"),
        (b"*.example.net", b"a" * 300, "mx 'a{60}'\\.\\.\\. of"),
        (b"mx: *", b"mx *", "line 4 of the policy is not 'name: value'"),
        (b"mx: *", b" mx: *", "line 4"),
        (b"mx: *", b"mx : *", "line 4"),
        (b"\r\n", b"\r", "no line 'version: STSv1'"),
        (b"mail", b"\xff", "not UTF-8"),
        (GOOD, b"<!DOCTYPE html>", "line 1"),
        (GOOD, b"", "no line 'version: STSv1'"),
        (GOOD, b"\n" * 1000, "more than 1000 lines"),
        (GOOD, GOOD + b"a" * MAX_POLICY, "longer than"),
        (GOOD, GOOD + b"".join(b"mx: a%d.test\n" % number for number in range(MAX_PATTERNS)), "more than 200 mx"),
    ],
)
def test_a_malformed_policy_is_told(old: bytes, new: bytes, words: str) -> None:
    assert old in GOOD
    with pytest.raises(PolicyError, match=words) as caught:
        read_policy(GOOD.replace(old, new))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("a.example.net", True),
        ("example.net", False),
        (".example.net", False),
        ("a.b.example.net", False),
        ("a.mail.example.com", False),
        ("example.com", False),
        ("*.example.net", True),
        ("net", False),
        ("", False),
        (".", False),
    ],
)
def test_a_pattern_is_a_name_or_stands_for_one_label(host: str, *, allowed: bool) -> None:
    assert read_policy(GOOD).allows(host) == allowed


def test_a_wildcard_may_have_one_label_behind_it() -> None:
    policy = StsPolicy(StsMode.ENFORCE, ("*.test",), 1)
    assert policy.allows("a.test")
    assert not policy.allows("test")
    assert not policy.allows("b.a.test")


_morsels = st.sampled_from(
    [
        *GOOD.split(b"\r\n"),
        b"version",
        b"mode",
        b"mx",
        b"max_age",
        b":",
        b" ",
        b"*.",
        b"a",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b".",
    ]
)


@given(
    st.one_of(
        st.binary(), st.lists(_morsels, max_size=30).map(b"".join), st.lists(_morsels, max_size=9).map(b"\n".join)
    )
)
def test_any_octets_give_a_policy_or_a_policy_error(octets: bytes) -> None:
    try:
        policy = read_policy(octets)
    except PolicyError as error:
        said = str(error)
    else:
        assert read_policy("\r\n".join(policy.lines).encode()) == policy
        assert all(policy.allows(pattern.replace("*", "a")) for pattern in policy.mx)
        return
    assert said.isprintable()
    assert len(said) < 200


@given(st.lists(domains, max_size=3), st.lists(domains, max_size=3), domains)
def test_a_host_is_allowed_as_the_rfc_says(names: list[str], parents: list[str], host: str) -> None:
    policy = StsPolicy(StsMode.ENFORCE, (*names, *(f"*.{parent}" for parent in parents)), 1)
    plain = host in names or any(
        host.endswith(f".{each}") and host.count(".") == each.count(".") + 1 for each in parents
    )
    assert policy.allows(host) == plain


def test_a_policy_takes_linear_time() -> None:
    begun = time.process_time()
    for octets in (
        b"mx: " + b"\xc3\xbc" * 30_000,
        b"a" * MAX_POLICY,
        b"mode:" + b" " * (MAX_POLICY - 5),
        b"mx: a.test\n" * 999,
        b"mx: " + b"a." * 30_000,
    ):
        for _ in range(10):
            with pytest.raises(PolicyError):
                read_policy(octets)
    assert time.process_time() - begun < 2
