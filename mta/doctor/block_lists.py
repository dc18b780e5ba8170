"""Block lists in the DNS (RFC 5782): whether one lists an address of the relay."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mta.doctor.findings import Finding, failure, ok, skipped, warning
from mta.doctor.lookups import LookUp, reverse_name

#: Lists that receivers ask much, and that allow a few questions without an agreement.
USUAL_LISTS = ("zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org")
#: Public resolvers, which such lists refuse to answer, or answer wrongly.
PUBLIC_RESOLVERS = frozenset(
    {
        *("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"),
        *("1.1.1.1", "1.0.0.1", "2606:4700:4700::1111", "2606:4700:4700::1001"),
        *("9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9"),
        *("208.67.222.222", "208.67.220.220", "94.140.14.14", "94.140.15.15"),
    }
)
_CHECK = "blocklist/address"
# RFC 5782 section 5: each list contains the first address and does not contain the second.
_LISTED, _UNLISTED = "127.0.0.2", "127.0.0.1"
# Lists answer so if they refuse the resolver that asks.
_REFUSALS = ipaddress.ip_network("127.255.255.0/24")


@dataclass(frozen=True, slots=True)
class BlockListFacts:
    """The lists to ask about addresses, and the name servers by which they are asked."""

    lists: Sequence[str]
    addresses: Sequence[str]
    servers: Sequence[str]
    by_smarthost: bool = False


def check_block_lists(facts: BlockListFacts, look_up: LookUp) -> Iterator[Finding]:
    """Yield a finding about each list, or the reason why none is asked."""
    public = sorted(PUBLIC_RESOLVERS.intersection(facts.servers))
    if not facts.lists:
        yield skipped(_CHECK, "no list is to be asked")
    elif facts.by_smarthost:
        yield skipped(_CHECK, "all mail leaves through a smarthost")
    elif not facts.addresses:
        yield skipped(_CHECK, "the address that receivers see is not known", "give it by --address")
    elif public:
        yield skipped(_CHECK, f"{public[0]} is a public resolver, which lists do not answer", "use one of your own")
    else:
        for name in facts.lists:
            yield from _ask(name, facts.addresses, look_up)


def _ask(name: str, addresses: Sequence[str], look_up: LookUp) -> Iterator[Finding]:
    test = look_up(_entry(_LISTED, name), "A")
    if test.failed or not test.texts or _refused(test.texts) or look_up(_entry(_UNLISTED, name), "A").texts:
        yield skipped(_CHECK, f"{name} does not answer this resolver as a list should: {test.failed or 'refused'}")
        return
    for address in addresses:
        found = look_up(_entry(address, name), "A")
        if found.failed:
            yield warning(_CHECK, f"{name} did not answer about {address}: {found.failed}", "ask again later")
        elif found.texts and not _refused(found.texts):
            reasons = look_up(_entry(address, name), "TXT").texts
            reason = f": {reasons[0][:200]}" if reasons else ""
            remedy = "find the mail that was sent from it, end that, and ask the list to remove it"
            yield failure(_CHECK, f"{name} lists {address} as {', '.join(found.texts)}{reason}", remedy)
        else:
            yield ok(_CHECK, f"{name} does not list {address}")


def _entry(address: str, name: str) -> str:
    """Return the name of the entry of an address in a list (RFC 5782 sections 2.1 and 2.4)."""
    reverse = reverse_name(address).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    return f"{reverse}.{name}"


def _refused(texts: Sequence[str]) -> bool:
    return all(ipaddress.ip_address(text) in _REFUSALS for text in texts)
