"""The addresses of the Sender Rewriting Scheme: made, read back, forged and old."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.local.srs import MAX_LOCAL_OCTETS, VALID_DAYS, SenderRewriting, SrsRefused, SrsSettings
from mta.smtp.address import Address, parse_address

DAY = 86_400.0
ANN = parse_address("Ann+tag=1@far.test")


class Relay:
    """A relay with its rewriting of senders, and the lines that its operator was told."""

    def __init__(self, domain: str = "srs.test", *secrets: str) -> None:
        self.now = 20_000 * DAY
        self.told: list[str] = []
        settings = SrsSettings(domain, secrets or ("correct-horse",))
        self.rewriting = SenderRewriting(
            settings, {"here.test", domain}.__contains__, lambda: self.now, self.told.append
        )

    def forwarded(self, sender: str) -> Address:
        address = self.rewriting.forwarded(parse_address(sender))
        assert address is not None, self.told
        return address


def other_case(address: Address) -> Address:
    return Address(address.local.swapcase(), address.domain)


def test_a_sender_comes_back_from_its_address() -> None:
    relay = Relay()
    address = relay.rewriting.forwarded(ANN)
    assert address is not None
    assert address.domain == "srs.test"
    start, signature, day, rest = address.local.split("=", 3)
    assert (start, len(signature), len(day), rest) == ("SRS0", 8, 2, "far.test=Ann+tag=1")
    assert relay.rewriting.original(address) == ANN
    assert relay.rewriting.refusal(address, None) == ""


def test_an_address_in_another_case_is_understood() -> None:
    relay = Relay()
    sender = relay.rewriting.original(other_case(relay.forwarded("ann@far.test")))
    assert str(sender).lower() == "ann@far.test"


@pytest.mark.parametrize("separator", "=+-")
def test_each_separator_of_the_scheme_is_read(separator: str) -> None:
    relay = Relay()
    address = relay.forwarded("ann@far.test")
    assert relay.rewriting.original(Address(f"SRS0{separator}{address.local[5:]}", "srs.test")) == parse_address(
        "ann@far.test"
    )


@pytest.mark.parametrize("sender", ["bob@here.test", "bob@srs.test", "bob@[192.0.2.1]"])
def test_senders_of_own_domains_and_literals_stay(sender: str) -> None:
    assert Relay().rewriting.forwarded(parse_address(sender)) is None


def test_the_null_sender_stays() -> None:
    assert Relay().rewriting.forwarded(None) is None


def test_a_sender_that_is_too_long_stays_and_is_told() -> None:
    relay = Relay()
    fits = "a" * (MAX_LOCAL_OCTETS - len("SRS0=XXXXXXXX=XX=far.test="))
    assert len(relay.forwarded(f"{fits}@far.test").local) == MAX_LOCAL_OCTETS
    assert relay.rewriting.forwarded(parse_address(f"a{fits}@far.test")) is None
    (line,) = relay.told
    assert f"<a{fits}@far.test>" in line


def test_an_address_of_another_relay_gets_a_second_address_over_it() -> None:
    first, second, third = Relay("one.test"), Relay("two.test", "battery-staple"), Relay("three.test", "some-secret")
    once = first.forwarded("ann@far.test")
    twice = second.forwarded(str(once))
    assert twice.local.startswith("SRS1=")
    assert second.rewriting.original(twice) == once
    thrice = third.forwarded(str(twice))
    assert thrice.local.split("=", 2)[2] == twice.local.split("=", 2)[2]
    # The third relay sends reports to the first one at once.
    assert third.rewriting.original(thrice) == once
    assert first.rewriting.original(once) == parse_address("ann@far.test")


@pytest.mark.parametrize("at", [5, 12, 14, 17, 24])
def test_a_changed_address_is_refused(at: int) -> None:
    relay = Relay()
    local = relay.forwarded("ann@far.test").local
    changed = local[:at] + ("A" if local[at] != "A" else "B") + local[at + 1 :]
    with pytest.raises(SrsRefused, match="this relay did not make this address"):
        relay.rewriting.original(Address(changed, "srs.test"))
    assert relay.rewriting.refusal(Address(changed, "srs.test"), None) == "this relay did not make this address"


@pytest.mark.parametrize("local", ["SRS0=AAAAAAAA=AA=far.test=ann", "SRS1=AAAAAAAA=far.test==AAAA=AA=b.test=ann"])
def test_an_invented_address_is_refused(local: str) -> None:
    assert Relay().rewriting.refusal(Address(local, "srs.test"), None) == "this relay did not make this address"


@pytest.mark.parametrize(
    "local", ["bob", "SRS0", "SRS0=a=b", "SRS2=a=b=c=d", "xSRS0=AAAAAAAA=AA=far.test=ann", "SRS0=="]
)
def test_other_addresses_are_none_of_the_scheme(local: str) -> None:
    relay = Relay()
    assert relay.rewriting.original(Address(local, "srs.test")) is None
    assert relay.rewriting.refusal(Address(local, "srs.test"), None) is None


def test_an_address_in_another_domain_is_none_of_this_relay() -> None:
    relay = Relay()
    address = relay.forwarded("ann@far.test")
    assert relay.rewriting.refusal(Address(address.local, "here.test"), None) is None


def test_an_address_takes_reports_for_three_weeks() -> None:
    relay = Relay()
    address = relay.forwarded("ann@far.test")
    relay.now += VALID_DAYS * DAY
    assert relay.rewriting.refusal(address, None) == ""
    relay.now += DAY
    assert relay.rewriting.refusal(address, None) == "this address took reports for 21 days"


@pytest.mark.parametrize("days", [1023, 1024, 1023 + VALID_DAYS])
def test_the_count_of_days_begins_anew_after_1024(days: int) -> None:
    relay = Relay()
    relay.now = 1023 * DAY
    address = relay.forwarded("ann@far.test")
    relay.now = days * DAY
    assert relay.rewriting.refusal(address, None) == ""


def test_the_clock_of_another_relay_may_be_a_day_ahead() -> None:
    relay = Relay()
    address = relay.forwarded("ann@far.test")
    relay.now -= DAY
    assert relay.rewriting.refusal(address, None) == ""
    relay.now -= DAY
    assert relay.rewriting.refusal(address, None) == "this address took reports for 21 days"


def test_an_address_takes_nothing_but_reports() -> None:
    relay = Relay()
    refusal = relay.rewriting.refusal(relay.forwarded("ann@far.test"), ANN)
    assert refusal == "this address takes reports about mail only, whose sender is <>"


def test_addresses_of_an_old_secret_are_taken_and_the_first_one_signs() -> None:
    old, new = Relay("srs.test", "old-secret"), Relay("srs.test", "new-secret", "old-secret")
    assert new.rewriting.original(old.forwarded("ann@far.test")) == parse_address("ann@far.test")
    with pytest.raises(SrsRefused):
        old.rewriting.original(new.forwarded("ann@far.test"))


@given(st.text(max_size=200))
def test_no_local_part_makes_it_fail(local: str) -> None:
    relay = Relay()
    for start in ("", "SRS0=", "SRS1=AAAA=far.test=="):
        relay.rewriting.refusal(Address(start + local, "srs.test"), None)


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1, max_size=30))
def test_every_local_part_comes_back(local: str) -> None:
    relay = Relay()
    sender = Address(local, "far.test")
    address = relay.rewriting.forwarded(sender)
    assert address is not None
    assert relay.rewriting.original(parse_address(str(address))) == sender
