"""The checks of the relay's name and addresses, in good and bad states."""

import pytest

from mta.doctor.findings import Level
from mta.doctor.identity import IdentityFacts, check_identity
from tests.doctor.zone import FAILED, dns_of, with_printed

NAME, V4, V6 = "relay.a.test", "192.0.2.7", "2001:db8::7"
PTR4 = "7.2.0.192.in-addr.arpa"
PTR6 = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
GOOD = {(NAME, "A"): [V4], (NAME, "AAAA"): [V6], (PTR4, "PTR"): [NAME], (PTR6, "PTR"): [NAME]}
FACTS = IdentityFacts(NAME, (V4, V6))


def levels(zone, facts=FACTS):
    return [(each.check, each.level) for each in check_identity(facts, dns_of(zone))]


def test_a_relay_with_a_name_that_leads_to_its_addresses_and_back_is_in_order():
    found = list(check_identity(FACTS, dns_of(GOOD)))
    assert {each.level for each in found} == {Level.OK}
    assert [each.check for each in found] == ["identity/mailname", "identity/ptr", "identity/ptr"]


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({(NAME, "A"): [], (NAME, "AAAA"): []}, "identity/mailname", Level.FAILURE),
        ({(NAME, "AAAA"): []}, "identity/mailname", Level.WARNING),
        ({(NAME, "A"): FAILED, (NAME, "AAAA"): FAILED}, "identity/mailname", Level.WARNING),
        ({(PTR4, "PTR"): []}, "identity/ptr", Level.FAILURE),
        ({(PTR6, "PTR"): []}, "identity/ptr", Level.FAILURE),
        ({(PTR4, "PTR"): FAILED}, "identity/ptr", Level.WARNING),
        ({(PTR4, "PTR"): ["other.a.test"]}, "identity/ptr", Level.FAILURE),
        ({(PTR4, "PTR"): ["other.a.test"], ("other.a.test", "A"): ["192.0.2.9"]}, "identity/ptr", Level.FAILURE),
        ({(PTR4, "PTR"): ["other.a.test"], ("other.a.test", "A"): [V4]}, "identity/ptr", Level.WARNING),
        ({(PTR4, "PTR"): ["other.a.test"], ("other.a.test", "A"): FAILED}, "identity/ptr", Level.WARNING),
    ],
)
def test_each_fault_of_the_names_is_found(change, check, level):
    assert (check, level) in levels(GOOD | change)


@pytest.mark.parametrize(
    "change",
    [
        {(NAME, "A"): [], (NAME, "AAAA"): []},
        {(NAME, "AAAA"): []},
        {(PTR4, "PTR"): []},
        {(PTR4, "PTR"): [], (PTR6, "PTR"): []},
        {(PTR4, "PTR"): ["other.a.test"], ("other.a.test", "A"): [V4]},
    ],
)
def test_the_printed_records_mend_the_fault(change):
    zone = GOOD | change
    lines = [line for each in check_identity(FACTS, dns_of(zone)) for line in each.records]
    found = list(check_identity(FACTS, with_printed(zone, lines)))
    assert {each.level for each in found} == {Level.OK}


def test_a_name_without_a_dot_is_no_name_for_receivers():
    assert levels(GOOD, IdentityFacts("relay", (V4,)))[0] == ("identity/mailname", Level.FAILURE)


def test_behind_a_smarthost_the_name_matters_less_and_the_addresses_do_not():
    facts = IdentityFacts(NAME, (V4,), by_smarthost=True)
    assert levels({}, facts) == [("identity/mailname", Level.WARNING), ("identity/ptr", Level.SKIPPED)]


def test_a_translated_address_is_not_looked_up():
    *_, last = check_identity(IdentityFacts(NAME, (), ("10.0.0.5",)), dns_of(GOOD))
    assert last.level is Level.SKIPPED
    assert "10.0.0.5" in last.seen
    assert "--address" in last.remedy
