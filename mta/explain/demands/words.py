"""The demands on MX hosts in words. Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mta.config.summary import TLS_WORDS
from mta.explain.demands.facts import DemandFacts
from mta.message.dates import timestamp
from mta.routing.route import Route

if TYPE_CHECKING:
    from mta.routing.demands.proof import Proof

_SHOWN_RECORDS, _SHOWN_DIGITS = 3, 8
_POLICY_PLACE = "TLS_POLICY="


def demanded_of(route: Route) -> str:
    """Return the proof that the host of a route must give, and its reason; "" if it need not give any."""
    if route.proof is not None:
        return _proof_words(route.host, route.proof)
    if route.tls_place.startswith(_POLICY_PLACE):
        return f"{TLS_WORDS[route.tls]} ({route.tls_place})"
    return ""


def _proof_words(host: str, proof: "Proof") -> str:
    names = " or ".join(proof.names)
    source = {"sts": f"MTA-STS of {proof.domain}", "dane": "DANE", "requiretls": "REQUIRETLS"}[proof.source.value]
    if proof.records:
        certified = f"; an authority that they name must certify {names}" if names else ""
        base = proof.server_name or host
        words = f"with TLS only, the certificate must match a TLSA record of {base} ({_records(proof)}){certified}"
    elif names:
        words = f"with TLS only, a known authority must certify {names}"
    else:
        words = "with TLS only, with any certificate, because SMTP cannot use its TLSA records"
    tested = "" if proof.enforced else "; the policy is only tested, so that mail goes all the same"
    return f"{words} ({source}){tested}"


def _records(proof: "Proof") -> str:
    shown = [
        f"{each.usage} {each.selector} {each.matching} {each.data.hex()[:_SHOWN_DIGITS]}..."
        for each in proof.records[:_SHOWN_RECORDS]
    ]
    more = len(proof.records) - _SHOWN_RECORDS
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def policy_lines(facts: DemandFacts) -> Iterator[str]:
    """Yield the entry of TLS_POLICY, the policy of the domain, and the TLSA records of each host that has some."""
    secured, published = facts.secured, facts.secured.published
    if secured.entry is not None:
        yield f"TLS_POLICY: {secured.entry} decides, whatever the domain publishes"
    policy, until = published.policy, facts.policy.until
    if policy is not None:
        end = "" if until is None else f"; until {timestamp(until)}"
        yield f"MTA-STS: {policy.mode.value}, mx {', '.join(policy.mx)}{end}"
    elif facts.policy.failure:
        yield f"MTA-STS: the policy cannot be fetched, so it does not count: {facts.policy.failure}"
    if published.mx_secure:
        yield "DNSSEC: the MX records are proven"
    for demand in secured.hosts:
        if demand.finding is not None:
            yield f"TLSA of {demand.host}: {demand.finding.words}"


def left_out(facts: DemandFacts) -> dict[str, str]:
    """Return the hosts that must not get mail now, each with its reason."""
    return {demand.host: demand.left_out for demand in facts.secured.hosts if demand.left_out}
