"""The DNS server that alters replies: what is asked passes, and what is altered is seen by the client."""

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from harness import network_namespace
from harness.altering_dns import AlteringDns, failing, strip_signatures
from harness.network_namespace import public_address, public_network
from harness.zone_servers import Nsd, why_not
from harness.zone_tree import ZoneTree

_REASON = why_not() or network_namespace.why_not()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")

NAME_SERVER, ALTERING = public_address(1), public_address(2)
NAME = "www.good.example"


@pytest.fixture
def altering(tmp_path):
    tree = ZoneTree(NAME_SERVER)
    tree.zone("good.example").add(NAME, "A", "192.0.2.1")
    tree.add(NAME, "TXT", *(f'"{number} {"x" * 200}"' for number in range(20)))
    server = AlteringDns(ALTERING, NAME_SERVER)
    with public_network(), Nsd(tree, tmp_path / "nsd", NAME_SERVER), server:
        yield server


def ask(rdtype, timeout=30):
    query = dns.message.make_query(NAME, rdtype, want_dnssec=True)
    return dns.query.udp_with_fallback(query, ALTERING, timeout=timeout)


def types(reply):
    return {dns.rdatatype.to_text(rrset.rdtype) for rrset in reply.answer}


def test_replies_pass_as_they_are_also_those_that_need_tcp(altering):
    assert types(ask("A")[0]) == {"A", "RRSIG"}
    reply, used_tcp = ask("TXT")
    assert (types(reply), used_tcp, len(reply.answer[0])) == ({"TXT", "RRSIG"}, True, 20)
    assert set(altering.asked) == {(NAME, "A"), (NAME, "TXT")}


def test_signatures_are_stripped(altering):
    altering.alterations = [strip_signatures]
    assert types(ask("A")[0]) == {"A"}
    assert ask("RRSIG")[0].answer == []


def test_queries_of_a_type_fail_or_get_no_answer(altering):
    altering.alterations = [failing("TXT", NAME), failing("MX", how="SILENCE"), failing("A", "other.example")]
    assert ask("TXT")[0].rcode() == dns.rcode.SERVFAIL
    assert ask("A")[0].rcode() == dns.rcode.NOERROR
    with pytest.raises(dns.exception.Timeout):
        ask("MX", timeout=0.2)
