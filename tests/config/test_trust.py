"""RELAY_NETWORKS in Exim's and in the usual spelling, and the advice about other spellings."""

import ipaddress
import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.trust import read_trust
from mta.inbound.networks import TrustItem, TrustList, network


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("", ""),
        (" : ", ""),
        (":10.0.0.0/8:192.168.0.0/16", "10.0.0.0/8 ; 192.168.0.0/16"),
        ("10.0.0.0/8:192.168.0.0/16", "10.0.0.0/8 ; 192.168.0.0/16"),
        (" :10.0.0.0/8", "10.0.0.0/8"),
        (";10.0.0.0/8;192.0.2.7", "10.0.0.0/8 ; 192.0.2.7"),
        ("10.0.0.0/8, 192.0.2.7", "10.0.0.0/8 ; 192.0.2.7"),
        ("10.0.0.0/8 192.0.2.7\n", "10.0.0.0/8 ; 192.0.2.7"),
        ("10.0.0.0/8 : 192.0.2.7", "10.0.0.0/8 ; 192.0.2.7"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        (":*", "*"),
        (":0.0.0.0/0", "0.0.0.0/0"),
        (":!10.0.0.5:10.0.0.0/8", "!10.0.0.5 ; 10.0.0.0/8"),
        ("! 10.0.0.5 : 10.0.0.0/8", "!10.0.0.5 ; 10.0.0.0/8"),
        (":app:App_1.test:cafe.test", "app ; app_1.test ; cafe.test"),
        (":db:cafe:10.0.0.0/8", "db ; cafe ; 10.0.0.0/8"),
        ("db", "db"),
    ],
)
def test_a_list_is_understood_however_it_is_separated(text: str, understood: str) -> None:
    assert str(read_trust(text)) == understood


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        (":fd00::::/8", "fd00::/8"),
        (":fd00::::/8:10.0.0.0/8", "fd00::/8 ; 10.0.0.0/8"),
        ("::::1", "::1"),
        (":2001::db8::::1:fd00::::/8", "2001:db8::1 ; fd00::/8"),
        (":1::2::3::4::5::6::7::8", "1:2:3:4:5:6:7:8"),
        (":!fd00::::1:fd00::::/8", "!fd00::1 ; fd00::/8"),
        (":fd00::::1/64", "fd00::/64"),
        (":64::ff9b:::::192.0.2.1", "64:ff9b:: ; 192.0.2.1"),
        (":db:fd00::::/8", "db ; fd00::/8"),
    ],
)
def test_ipv6_with_doubled_colons_is_read_as_exim_reads_it(text: str, understood: str) -> None:
    assert str(read_trust(text)) == understood


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        (":fd00::/8", "fd00::/8"),
        ("fd00::/8", "fd00::/8"),
        ("::1", "::1"),
        (":::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fd12:3456:789a::/48", "fd12:3456:789a::/48"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("fd:ab:cd:ef:ab:cd:ef:ab", "fd:ab:cd:ef:ab:cd:ef:ab"),
        ("::1 : fd00::/8", "::1 ; fd00::/8"),
        ("!fd00::5, fd00::/8", "!fd00::5 ; fd00::/8"),
        ("10.0.0.0/8:fd00::/8", "10.0.0.0/8 ; fd00::/8"),
        ("fd00::/8:10.0.0.0/8", "fd00::/8 ; 10.0.0.0/8"),
        ("fd00::/8:2001:db8::/32", "fd00::/8 ; 2001:db8::/32"),
        (":10.0.0.0/8:fd00::/8:app.test", "10.0.0.0/8 ; fd00::/8 ; app.test"),
        ("fd:ab:cd:ef:ab:cd:ef:ab:10.0.0.0/8", "fd:ab:cd:ef:ab:cd:ef:ab ; 10.0.0.0/8"),
        ("::ffff:10.0.0.0/104;::1", "10.0.0.0/8 ; ::1"),
        ("::/0", "::/0"),
    ],
)
def test_ipv6_as_it_is_usually_written_is_understood(text: str, understood: str) -> None:
    assert str(read_trust(text)) == understood


@pytest.mark.parametrize(
    ("text", "usual", "exims"),
    [
        ("fd00:::::/8", "fd00::/8", ": fd00::::/8"),
        (":fd00:::::/8", "fd00::/8", ": fd00::::/8"),
        ("fd00:::/8", "fd00::/8", ": fd00::::/8"),
        ("fd00::::::/8", "fd00::/8", ": fd00::::/8"),
        ("10.0.0.0/8::192.168.0.0/16", "10.0.0.0/8 ; 192.168.0.0/16", ": 10.0.0.0/8 : 192.168.0.0/16"),
        # Exim takes colons in pairs from the left and so loses this address.
        (":10.0.0.0/8:::::1", "10.0.0.0/8 ; ::1", ": 10.0.0.0/8 : ::::1"),
        ("fd00::1/64", "fd00::/64", ": fd00::::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1", ": 10.0.0.1"),
    ],
)
def test_colons_that_cannot_be_read_are_refused_with_both_right_spellings(text: str, usual: str, exims: str) -> None:
    words = f"the colons of {text!r} cannot be read; if {usual} is meant, write that, or {exims} as in Exim"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        read_trust(f"192.0.2.1 ; {text}")
    assert read_trust(usual) == read_trust(exims)


@pytest.mark.parametrize(
    "text",
    [
        "fd00::1:10.0.0.1",
        "fe80::1:2001:db8::1",
        "2001:db8::1:2001:db8::1",
        "app.test:!fd00::5:fd00::/8:",
        ":::ffff:0.0.0.0/0",
        # An address with bits beyond its prefix may as well be a name before a network: 00db:fd00::/8 is 0::/8.
        "db:fd00::/8",
        # 1::/16 after a host called fd00 would be a network that nobody wrote.
        "fd00:1::/16",
        "fd00::/129:10.0.0.0/33",
        "fd00::1:a:b:c:d:e:f:a:b",
        "cafe:fd00::/8:cafe",
    ],
)
def test_ambiguous_colons_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be read; separate the items by ; or double the colons of IPv6"):
        read_trust(text)


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("!", "!"),
        ("10.0.0.0/33", "10.0.0.0/33"),
        ("*.example.test", "*.example.test"),
        ("587", "587"),
        ("!!10.0.0.1", "!!10.0.0.1"),
        ("+hosts", "+hosts"),
        ("a/b", "a/b"),
        ("1.2.3", "1.2.3"),
        ("'10.0.0.1'", "'10.0.0.1'"),
        (":10.0.0.0/8:192.168.0.0/33", "192.168.0.0/33"),
        ("10.0.0.0/8:app_/8:10.1.0.0/16", "app_/8"),
        ("10.0.0.0/8:!!10.0.0.5", "!!10.0.0.5"),
    ],
)
def test_of_several_items_the_bad_one_is_named(text: str, item: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(item))} is not a network, an address or a host name$"):
        read_trust(text)


@pytest.mark.parametrize(
    "text", ["any", "ALL", "everyone", "true", "0/0", "0", "0.0.0.0", "::", "!any", "10.0.0.0/8;any"]
)
def test_words_for_everyone_are_refused_with_advice_to_write_a_star(text: str) -> None:
    with pytest.raises(ValueError, match=r"; for everyone write \*, which makes an open relay"):
        read_trust(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10/8", "write 10.0.0.0/8"),
        ("10.", "write 10.0.0.0/8"),
        ("192.168.*", "write 192.168.0.0/16"),
        ("10.x.x.x", "write 10.0.0.0/8"),
        ("192.168/16", "write 192.168.0.0/16"),
        ("10.0.0/24", "write 10.0.0.0/24"),
        ("10.0.0.0/255.0.0.0", "write 10.0.0.0/8"),
        ("10.0.0.0-10.0.0.255", "write 10.0.0.0/24"),
        ("10.0.0.1-3", "write 10.0.0.1/32 ; 10.0.0.2/31"),
        ("10.0.0.1-10.9.0.7", "write a range as the networks it consists of"),
        ("::10.0.0.0/8", "if 10.0.0.0/8 is meant"),
        ("<; 10.0.0.0/8 ; fd00::/8", "without it"),
        ("private", "write 10.0.0.0/8 ; 172.16.0.0/12"),
        ("[::1]", "write ::1"),
        ("[fd00::]/8", "write fd00::/8"),
        ("fe80::1%eth0", "write fe80::1"),
        ("eth0", "NET_DEV=eth0"),
        ("none", "leave the variable empty"),
        ("10.0.0.0 /8", "write the address before it, without a blank"),
    ],
)
def test_other_spellings_are_refused_with_the_right_one(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=re.escape(meant)):
        read_trust(text)


NETWORKS = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda it: f"{it[0]}/{it[1]}"),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(lambda it: f"{it[0]}/{it[1]}"),
).filter(lambda text: str(network(text)) != "::")


@given(st.lists(st.tuples(st.booleans(), NETWORKS), max_size=6))
@settings(max_examples=200)
def test_any_list_written_with_doubled_colons_is_read_as_meant_or_refused(items: list[tuple[bool, str]]) -> None:
    written = "".join(f":{'!' * out}{text.replace(':', '::')}" for out, text in items)
    try:
        trusted = read_trust(written)
    except ValueError:
        return
    assert trusted == TrustList(tuple(TrustItem(network(text), out) for out, text in items))


@given(st.text(alphabet="!*:;/ 012fdx.", max_size=25))
@settings(max_examples=400)
def test_a_list_is_read_as_it_was_written(text: str) -> None:
    try:
        trusted = read_trust(text)
    except ValueError:
        return
    assert read_trust(str(trusted)) == trusted


@given(st.lists(NETWORKS, min_size=1, max_size=4), st.ip_addresses())
@settings(max_examples=300)
def test_undoubled_colons_never_open_wider_than_the_items_meant(
    items: list[str], client: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    meant = TrustList(tuple(TrustItem(network(text)) for text in items))
    try:
        understood = read_trust(":" + ":".join(items))
    except ValueError:
        return
    assert meant.verdict(str(client), {}) or not understood.verdict(str(client), {})


def test_a_long_list_takes_memory_for_its_items_and_not_for_each_of_its_ends() -> None:
    tracemalloc.start()
    try:
        assert len(read_trust("a.b:" * 1500).items) == 1500
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
