"""The names of destinations: different for mail that must not share connections, the same for mail that should."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mta.dns.answers import TlsaRecord
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.destination_names import (
    MAX_DESTINATION_LENGTH,
    carried_destination,
    demanded_destination,
    mx_destination,
    smarthost_destination,
)
from mta.routing.route import Route, Smarthost, TlsRule
from mta.smtp.address import bracketed

HOSTS = Smarthost((("mail.a.test", 25),), TlsRule.OPPORTUNISTIC, name="mail.a.test:25", place="the rule in r.toml:7")


def test_no_dns_record_names_the_destination_of_a_smarthost() -> None:
    for name in ("smarthost", "office"):
        assert mx_destination([name]) != smarthost_destination(replace(HOSTS, name=name)) == name
    assert mx_destination(["mail.a.test"]) != smarthost_destination(HOSTS)


def test_hosts_of_rules_are_one_destination_if_they_are_reached_in_the_same_way() -> None:
    assert smarthost_destination(HOSTS) == "mail.a.test:25"
    elsewhere = replace(HOSTS, place="the rule in r.toml:9")
    assert smarthost_destination(elsewhere) == "mail.a.test:25"
    others = [
        replace(HOSTS, tls=TlsRule.VERIFY),
        replace(HOSTS, ca_file=Path("/ca.pem")),
        replace(HOSTS, tls=TlsRule.VERIFY, ca_file=Path("/ca.pem")),
        replace(HOSTS, tls=TlsRule.NONE),
    ]
    assert len({smarthost_destination(each) for each in (HOSTS, *others)}) == 5
    assert smarthost_destination(others[2]) == "mail.a.test:25 tls=verify ca_file=/ca.pem"


NAMES = st.sampled_from(["a.test", "b.test", "c.a.test", "2001:db8::1"])
LISTED = st.lists(st.tuples(NAMES, st.sampled_from([25, 587])), min_size=1, max_size=40).map(
    lambda hosts: Smarthost(
        tuple(hosts), TlsRule.OPPORTUNISTIC, name=",".join(f"{bracketed(host)}:{port}" for host, port in hosts)
    )
)
SMARTHOSTS = st.builds(
    lambda listed, tls, ca_file: replace(listed, tls=tls, ca_file=ca_file),
    LISTED,
    st.sampled_from(TlsRule),
    st.sampled_from([None, Path("/ca.pem"), Path("/ca.pem tls=verify")]),
)


@given(SMARTHOSTS, SMARTHOSTS)
def test_two_lists_of_hosts_have_one_name_only_if_nothing_tells_them_apart(one: Smarthost, other: Smarthost) -> None:
    assert (smarthost_destination(one) == smarthost_destination(other)) == (one == other)
    assert hash(one) == hash(other) or one != other


def test_a_long_name_becomes_a_digest_of_all_of_it() -> None:
    hosts = tuple((f"mail{n}.a-long-name.test", 25) for n in range(40))
    names = [f"{host}:{port}" for host, port in hosts]
    listed = replace(HOSTS, hosts=hosts, name=",".join(names))
    short = smarthost_destination(listed)
    assert short.startswith(f"{names[0]} and 39 more (")
    assert len(short) < MAX_DESTINATION_LENGTH
    assert smarthost_destination(replace(listed, tls=TlsRule.VERIFY)) != short
    places = [f"{n}.toml:1" for n in range(100)]
    assert len(carried_destination("mx.test", places)) < MAX_DESTINATION_LENGTH
    assert carried_destination("mx.test", places) != carried_destination("mx.test", places[:-1])


def test_the_places_of_a_carriage_are_part_of_the_name() -> None:
    assert carried_destination("mx.test", ["a.toml:1", "b.toml:2"]) == "mx.test (a.toml:1, b.toml:2)"


def name_of(*routes: Route) -> str:
    return demanded_destination("mx1.test,mx2.test", routes, TlsRule.OPPORTUNISTIC)


MX1, MX2 = Route("mx1.test", "192.0.2.1", 25), Route("mx2.test", "192.0.2.2", 25)
RECORD = TlsaRecord(3, 1, 1, b"x" * 32)


def sts(route: Route, domain: str = "a.test", *, enforced: bool = True) -> Route:
    return replace(route, proof=Proof(ProofSource.STS, domain, (route.host,), enforced=enforced))


def dane(route: Route, *names: str, records: tuple[TlsaRecord, ...] = (RECORD,)) -> Route:
    return replace(route, proof=Proof(ProofSource.DANE, "a.test", names, records))


def test_hosts_of_which_nothing_is_demanded_keep_their_name() -> None:
    assert name_of(MX1, MX2) == "mx1.test,mx2.test"


def test_a_demand_is_part_of_the_name() -> None:
    assert name_of(sts(MX1), sts(MX2)) == "mx1.test,mx2.test (sts)"
    assert name_of(dane(MX1), dane(MX2)) == "mx1.test,mx2.test (dane)"
    assert name_of(sts(MX1, enforced=False), sts(MX2, enforced=False)) == "mx1.test,mx2.test (sts testing)"
    assert name_of(replace(MX1, tls=TlsRule.VERIFY), replace(MX2, tls=TlsRule.VERIFY)) == "mx1.test,mx2.test (verify)"


def test_domains_with_the_same_demands_on_the_same_hosts_share_a_name() -> None:
    assert name_of(sts(MX1, "a.test"), sts(MX2, "a.test")) == name_of(sts(MX2, "b.test"), sts(MX1, "b.test"))
    assert name_of(sts(MX1), sts(replace(MX1, address="192.0.2.9"))) == name_of(sts(MX1))
    other = replace(RECORD, data=b"y" * 32)
    assert name_of(dane(MX1)) == name_of(dane(MX1, records=(RECORD, other)))


def test_a_domain_among_the_names_does_not_prove_the_host_to_another_domain() -> None:
    one, other = dane(MX1, "mx1.test", "a.test"), dane(MX1, "mx1.test", "b.test")
    assert name_of(one) == "mx1.test,mx2.test (dane a.test)"
    assert name_of(one) != name_of(other)
    base = Proof(ProofSource.DANE, "a.test", ("base.test",), (RECORD,), server_name="base.test")
    assert name_of(replace(MX1, proof=base)) == "mx1.test,mx2.test (dane)"


def test_the_name_tells_which_host_has_which_demand() -> None:
    ways = [
        (sts(MX1), dane(MX2)),
        (dane(MX1), sts(MX2)),
        (dane(MX1), MX2),
        (MX1, dane(MX2)),
        (dane(MX1), dane(MX2)),
        (dane(MX1), dane(MX2, records=())),
        (dane(MX1, records=()), dane(MX2, records=())),
        (sts(MX1), replace(sts(MX2), tls=TlsRule.VERIFY)),
    ]
    assert len({name_of(*way) for way in ways}) == len(ways)
    assert name_of(sts(MX1), dane(MX2)) == "mx1.test,mx2.test (dane: mx2.test; sts: mx1.test)"


def test_the_name_of_many_demands_is_bounded() -> None:
    routes = [dane(Route(f"mx{n}.a-long-name.test", "192.0.2.1", 25), f"{n}.b.test") for n in range(40)]
    assert len(name_of(*routes)) < MAX_DESTINATION_LENGTH
    assert name_of(*routes) != name_of(*routes[:-1])
