"""The settings of secure delivery: TLS_POLICY, MTA_STS, DANE and DNSSEC, and their mistakes."""

import pytest

from mta.config.readers.secure_delivery import MAX_ENTRIES, DnssecSource, SecureDelivery, StsUse
from mta.config.summary import startup_summary
from mta.routing.demands.tls_policy import TlsLevel, TlsPolicy, TlsPolicyEntry
from tests.config.readers.reading import mistake, read


def test_published_policies_are_followed_by_default():
    found = read().secure_delivery
    assert found == SecureDelivery(TlsPolicy(), StsUse.ENFORCE, dane=True, dnssec=DnssecSource.AUTO)
    assert found.used
    assert found.uses_dane


def test_entries_are_read_in_their_order_without_case():
    assert read(TLS_POLICY=" A.test = Verify ;;*.b.test=none; *=dane").secure_delivery.tls_policy.entries == (
        TlsPolicyEntry("a.test", TlsLevel.VERIFY),
        TlsPolicyEntry("*.b.test", TlsLevel.NONE),
        TlsPolicyEntry("*", TlsLevel.DANE),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.test", "'a.test' is not domain=level; separate entries by ;"),
        ("a.test=", "is not domain=level"),
        ("=none", "is not domain=level"),
        ("a.test=none, b.test=none", "'none, b.test=none' in"),
        ("a.test=tls", "'tls' in 'a.test=tls' is not one of none, opportunistic, require, verify, dane"),
        ("[192.0.2.1]=none", "is an address, not a domain"),
        ("**.test=none", "one * is enough"),
        ("a..test=none", "a..test"),
        ("*=none; a.test=verify", "a.test=verify never decides, because *=none stands before it"),
        ("*.a.test=none; x.a.test=verify", "x.a.test=verify never decides, because *.a.test=none stands before it"),
        ("a.test=none; a.test=none", "a.test=none never decides"),
        ("; ".join(f"d{number}.test=none" for number in range(MAX_ENTRIES + 1)), "it has 1001 entries"),
    ],
)
def test_a_wrong_entry_is_a_mistake_with_an_example(text, words):
    said = mistake(TLS_POLICY=text)
    assert said.startswith("TLS_POLICY=")
    assert words in said
    assert "a correct example is TLS_POLICY='example.com=verify; *.example.org=require'" in said


@pytest.mark.parametrize(("name", "text"), [("MTA_STS", "on"), ("DANE", "auto"), ("DNSSEC", "yes")])
def test_a_word_that_is_none_of_a_setting_is_a_mistake(name, text):
    assert f"{name}='{text}': not one of " in mistake(**{name: text})


@pytest.mark.parametrize("off", [{"DANE": "off"}, {"DNSSEC": "off"}])
def test_an_entry_that_needs_dane_is_a_mistake_while_dane_is_off(off):
    ((name, word),) = off.items()
    assert f"*=dane needs DANE, which {name}={word} turns off" in mistake(TLS_POLICY="*=dane", **off)
    assert not read(**off).secure_delivery.uses_dane


def test_nothing_is_used_if_all_is_off():
    assert not read(MTA_STS="off", DANE="off").secure_delivery.used
    assert not read(MTA_STS="off", DNSSEC="off").secure_delivery.used
    assert read(MTA_STS="off", DANE="off", TLS_POLICY="a.test=require").secure_delivery.used


def test_settings_that_cancel_each_other_are_told():
    assert "DANE=on has no effect: DNSSEC=off" in read(DANE="on", DNSSEC="off").notices
    assert "DNSSEC=trust has no effect: DANE=off" in read(DANE="off", DNSSEC="trust").notices
    assert not any("DANE" in notice for notice in read(DNSSEC="off").notices)


def test_trust_in_a_name_server_on_another_host_is_told():
    said = read(DNSSEC="trust", DNS_SERVERS="127.0.0.1; 192.0.2.53").notices
    assert any("an attacker between this host and the name server 192.0.2.53" in notice for notice in said)
    assert not any("DNSSEC" in notice for notice in read(DNSSEC="trust", DNS_SERVERS="127.0.0.1").notices)


def test_none_of_them_has_an_effect_with_a_smarthost():
    said = read(
        SMARTHOST_ADDRESS="mail.test",
        TLS_POLICY="a.test=none",
        MTA_STS="off",
        DANE="off",
        DNSSEC="libunbound",
        TLSRPT_FROM="tls@a.test",
    ).notices
    for name in ("TLS_POLICY", "MTA_STS", "DANE", "DNSSEC", "TLSRPT_FROM"):
        assert f"{name} has no effect: all mail goes to the smarthost" in said


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "MTA-STS and DANE (DNSSEC=auto) as the domain publishes it"),
        ({"DANE": "off", "MTA_STS": "testing"}, "MTA-STS for testing only as the domain publishes it"),
        ({"DNSSEC": "off", "MTA_STS": "off"}, "without MTA-STS and DANE"),
        ({"TLS_POLICY": "a.test=none;b.test=none"}, "first TLS_POLICY with 2 entries"),
        ({"TLS_POLICY": "a.test=none"}, "first TLS_POLICY with 1 entry"),
    ],
)
def test_the_summary_tells_what_hosts_must_prove(environ, words):
    (line,) = (line for line in startup_summary(read(**environ)) if line.startswith("all other mail goes to"))
    assert words in line.split("; ")
