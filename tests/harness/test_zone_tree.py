"""Zones that tests sign: unbound believes them, and finds each way to spoil them."""

from collections.abc import Iterator
from contextlib import ExitStack

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from harness import network_namespace, zone_tree
from harness.network_namespace import public_address, public_network
from harness.zone_servers import Nsd, Unbound, why_not
from harness.zone_tree import ZoneTree, forged, removed, unsigned, without, without_signatures

_REASON = why_not() or network_namespace.why_not()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")

NAME_SERVER, RESOLVER = public_address(1), public_address(2)

SECURE, INSECURE, BOGUS = "secure", "insecure", "bogus"


class ZoneLookups:
    """A tree of zones, its servers, and the verdict of unbound."""

    def __init__(self, tree: ZoneTree) -> None:
        self.tree = tree

    def verdict(self, name: str, rdtype: str = "A") -> str:
        reply = dns.query.udp(dns.message.make_query(name, rdtype, want_dnssec=True), RESOLVER, timeout=30)
        if reply.rcode() == dns.rcode.SERVFAIL:
            return BOGUS
        return SECURE if reply.flags & dns.flags.AD else INSECURE


@pytest.fixture
def tree() -> ZoneTree:
    tree = ZoneTree(NAME_SERVER)
    tree.zone("good.example")
    tree.add("www.good.example", "A", "192.0.2.1")
    tree.add("*.wild.good.example", "A", "192.0.2.2")
    return tree


@pytest.fixture
def servers(tmp_path) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        stack.enter_context(public_network())
        yield stack


@pytest.fixture
def served(tree, servers, tmp_path):
    """Return a function that serves the tree as it is at its call."""

    def serve() -> ZoneLookups:
        servers.enter_context(Nsd(tree, tmp_path / "nsd", NAME_SERVER))
        servers.enter_context(Unbound(tree, tmp_path / "unbound", RESOLVER))
        return ZoneLookups(tree)

    return serve


def test_records_and_their_absence_are_secure_in_a_signed_zone(tree, served):
    tree.zone("plain.example", signed=False).add("www.plain.example", "A", "192.0.2.3")
    tree.zone("hashed.example").nsec3 = True
    tree.add("www.hashed.example", "A", "192.0.2.4")
    for algorithm in zone_tree.ALGORITHMS:
        tree.zone(f"{algorithm.lower()}.example", algorithm=algorithm)
    lookups = served()
    for name in (
        "www.good.example",
        "none.good.example",
        "a.wild.good.example",
        "www.hashed.example",
        "none.hashed.example",
    ):
        assert lookups.verdict(name) == SECURE, name
    for algorithm in zone_tree.ALGORITHMS:
        assert lookups.verdict(f"{algorithm.lower()}.example", "SOA") == SECURE, algorithm
    assert lookups.verdict("www.good.example", "AAAA") == SECURE
    assert lookups.verdict("www.plain.example") == INSECURE


def test_a_zone_that_was_tampered_with_is_bogus(tree, served):
    names = ("forged", "unsigned", "removed", "denied", "stripped", "expired", "early", "digest")
    zones = {name: tree.zone(f"{name}.example") for name in names}
    for name, zone in zones.items():
        zone.add(f"www.{name}.example", "A", "192.0.2.1")
    zones["forged"].tampering.append(forged("www.forged.example", "A", "192.0.2.9"))
    zones["unsigned"].tampering.append(unsigned("www.unsigned.example", "A"))
    zones["removed"].tampering.append(removed("www.removed.example", "A"))
    zones["denied"].tampering.append(without("NSEC"))
    zones["stripped"].tampering.append(without_signatures)
    zones["expired"].validity = (-30 * 86400, -2 * 86400)
    zones["early"].validity = (2 * 86400, 30 * 86400)
    zones["digest"].digests = [zone_tree.other_digest("digest.example")]
    lookups = served()
    verdicts = {
        name: lookups.verdict("none.denied.example" if name == "denied" else f"www.{name}.example") for name in names
    }
    assert verdicts == dict.fromkeys(names, BOGUS)


def test_a_zone_signed_by_an_unknown_algorithm_is_insecure(tree, served):
    zone = tree.zone("future.example")
    zone.add("www.future.example", "A", "192.0.2.1")
    zone.digests = [zone_tree.unknown_digest("future.example")]
    assert served().verdict("www.future.example") == INSECURE


def test_a_change_is_seen_at_the_next_query(tree, servers, tmp_path):
    nsd = servers.enter_context(Nsd(tree, tmp_path / "nsd", NAME_SERVER))
    servers.enter_context(Unbound(tree, tmp_path / "unbound", RESOLVER))
    lookups = ZoneLookups(tree)
    assert lookups.verdict("www.good.example") == SECURE
    tree.zone("good.example").tampering.append(unsigned("www.good.example", "A"))
    tree.zone("new.example").add("www.new.example", "A", "192.0.2.5")
    nsd.publish()
    assert lookups.verdict("www.good.example") == BOGUS
    assert lookups.verdict("www.new.example") == SECURE


def test_a_server_that_cannot_start_is_told_with_its_words(tree, servers, tmp_path):
    tree.add("www.good.example", "A", "192.0.2.1")
    with pytest.raises(RuntimeError, match="does not start"):
        servers.enter_context(Nsd(tree, tmp_path / "nsd", "192.0.2.77"))
