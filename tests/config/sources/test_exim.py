"""Lists, hosts and sizes in Exim's spelling."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.sources.exim import (
    Hosts,
    host_name,
    read_domains,
    read_hosts,
    read_port,
    read_size,
    write_hosts,
    write_size,
)


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("", ()),
        (" : ; ,", ()),
        ("a.test", ("a.test",)),
        ("a.test : b.test", ("a.test", "b.test")),
        (":a.test:b.test", ("a.test", "b.test")),
        ("a.test;b.test,c.test d.test\ne.test", ("a.test", "b.test", "c.test", "d.test", "e.test")),
        ("*.A.test:*", ("*.a.test", "*")),
    ],
)
def test_a_list_of_domains_is_separated_by_almost_anything(text: str, patterns: tuple[str, ...]) -> None:
    assert read_domains(text).patterns == patterns


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!bad.x.org : x.org", "'!bad.x.org': exclusions are not supported"),
        ("x.org : ! bad.x.org", "'!': exclusions are not supported"),
        (r"^mail\d+\.x\.org$", r"'^mail\\d+\\.x\\.org$': regular expressions are not supported"),
    ],
)
def test_exims_exclusions_and_expressions_in_domains_are_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_domains(text)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ()),
        ("smtp.test", (("smtp.test", None),)),
        ("SMTP.Test.", (("smtp.test", None),)),
        ("my_mailer", (("my_mailer", None),)),
        ("a.test:b.test", (("a.test", None), ("b.test", None))),
        ("a.test ; b.test, c.test", (("a.test", None), ("b.test", None), ("c.test", None))),
        ("a.test::587", (("a.test", 587),)),
        ("a.test::587:b.test", (("a.test", 587), ("b.test", None))),
        ("a.test::587 : b.test::2525", (("a.test", 587), ("b.test", 2525))),
        ("192.0.2.7::26", (("192.0.2.7", 26),)),
        ("[192.0.2.7]", (("192.0.2.7", None),)),
        ("[2001::db8::::1]", (("2001:db8::1", None),)),
        ("[2001:db8::1]", (("2001:db8::1", None),)),
        ("[2001::db8::::1]::2525:b.test", (("2001:db8::1", 2525), ("b.test", None))),
        ("[::::1]", (("::1", None),)),
        ("[1::2::3::4::5::6::7::8]", (("1:2:3:4:5:6:7:8", None),)),
    ],
)
def test_hosts_are_read_in_the_order_to_try_them(text: str, hosts: Hosts) -> None:
    assert read_hosts(text) == hosts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("smtp.test:587", "587 is read as a host; a port follows two colons: smtp.test::587"),
        ("[::1]:587", "587 is read as a host; a port follows two colons: [::1]::587"),
        ("587", "587 is read as a host; a port follows two colons: smtp.example.com::587"),
        ("smtp.test::", "'' is not a port"),
        ("smtp.test::99999", "'99999' is not a port"),
        ("smtp.test::abc", "'abc' is not a port"),
        ("2001:db8::1", "2001 is read as a host"),
        ("[non!sense]", "[non!sense] is not an address in brackets"),
        ("[smtp.test]:587", "a name is written without brackets and with two colons before a port: smtp.test::587"),
        ("[::1", "'[::1' does not begin with a host"),
        ("[::1]x", "'[::1]x' does not begin with a host"),
        ("a.test/x", "'a.test/x' is not a host name"),
        ("256.1.1.1", "'256.1.1.1' is not a host name"),
    ],
)
def test_ambiguous_lists_of_hosts_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read_hosts(text)
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["", ".", "a..b", "-a", "a b", "10", "1.2.3", "a:b", "a" * 64, "a." * 127 + "a"])
def test_a_malformed_host_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        host_name(text)


@pytest.mark.parametrize("text", ["", "0", "65536", "-1", "2.5", "x", "٢٥", "9" * 5000])
def test_a_malformed_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a port, a number from 1 to 65535"):
        read_port(text)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("1", 1), ("1000", 1000), ("10K", 10240), ("50M", 52428800), ("50m", 52428800), ("50 M", 52428800), ("2G", 2**31)],
)
def test_sizes_count_in_powers_of_1024(text: str, octets: int) -> None:
    assert read_size(text) == octets


@pytest.mark.parametrize("text", ["", "0", "0M", "M", "-1", "1.5M", "50MB", "50T", "9" * 5000])
def test_a_malformed_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        read_size(text)


@given(st.integers(1, 10**12 - 1))
@settings(max_examples=50)
def test_a_size_is_read_as_it_was_written(octets: int) -> None:
    assert read_size(write_size(octets)) == octets


@given(st.text(alphabet="a1.:[];, *-_", max_size=30))
@settings(max_examples=300)
def test_hosts_are_read_as_they_were_written(text: str) -> None:
    try:
        hosts = read_hosts(text)
    except ValueError:
        return
    assert read_hosts(write_hosts(hosts)) == hosts


@pytest.mark.parametrize(("word", "words"), [("all", "for every domain"), ("None", "leave the variable empty")])
def test_a_word_for_all_or_no_domains_is_refused(word: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_domains(f"a.test : {word}")


@pytest.mark.parametrize("word", ["none", "False"])
def test_a_word_for_no_host_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="leave the variable empty for no host"):
        read_hosts(word)
