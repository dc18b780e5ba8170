"""Domains for every published policy and every state of their host, for one mail to each.

A domain publishes one of `POLICIES`, its host and the DNS show one of `STATES`, and `domain_of` names it.
"""

import dns.flags
import dns.message
import dns.rcode

from harness.certificates import self_signed
from harness.policy_host import policy
from harness.sink import Sink
from harness.zone_tree import unsigned
from tests.endtoend.secure_world import ROOT, SecureWorld, tlsa

POLICIES = ("none", "testing", "enforce", "dane", "both")
#: A TLSA record, if there is one, names the key of the host in the first three states and that of another in "key".
STATES = ("good", "name", "expired", "key", "clear", "downgraded", "bogus")


def domain_of(published: str, state: str) -> str:
    """Return the domain of a pair."""
    return f"{published}-{state}.example"


def recipients() -> list[str]:
    """Return one recipient in each domain."""
    return [f"ann@{domain_of(published, state)}" for published in POLICIES for state in STATES]


def make_domains(secure: SecureWorld) -> dict[str, Sink]:
    """Make the domains, all signed, with their hosts and policy hosts; return the hosts by domain."""
    secure.dns.alterations = [_downgrade]
    return {
        domain_of(published, state): _domain(secure, published, state) for published in POLICIES for state in STATES
    }


def _domain(secure: SecureWorld, published: str, state: str) -> Sink:
    domain = domain_of(published, state)
    host = f"mx.{domain}"
    zone = secure.domain(domain, host)
    shown = ROOT.leaf(["mx.other.example" if state == "name" else host], expired=state == "expired")
    sink = secure.host(host, shows=None if state in {"clear", "downgraded"} else shown)
    if published in {"testing", "enforce", "both"}:
        secure.policy_host(domain, policy("testing" if published == "testing" else "enforce", [host]))
    if published in {"dane", "both"}:
        proven = self_signed([host]) if state == "key" else shown
        secure.tree.set(f"_25._tcp.{host}", "TLSA", tlsa(3, 1, proven.certificate))
    if state == "bogus":
        zone.tampering.append(unsigned(domain, "MX"))
    return sink


def _downgrade(query: dns.message.Message, reply: dns.message.Message) -> dns.message.Message:
    """Answer without proof that there is neither a policy nor a TLSA record in the domains of this state."""
    name = query.question[0].name.to_text(omit_final_dot=True).lower()
    if "-downgraded.example" not in name or not name.startswith(("_mta-sts.", "_25._tcp.")):
        return reply
    forged = dns.message.make_response(query, recursion_available=True)
    forged.set_rcode(dns.rcode.NXDOMAIN)
    return forged
