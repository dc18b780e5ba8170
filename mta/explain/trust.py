"""Whether a client may send anywhere, and the setting that says so."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mta.config import table
from mta.config.settings import Settings
from mta.inbound.networks import LOOPBACK, IPAddress, TrustItem, TrustList

#: The addresses of host names in RELAY_NETWORKS.
Lookups = Mapping[str, frozenset[IPAddress]]


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether a client may send anywhere, and why. `verdict` is None if that depends on a look-up."""

    verdict: bool | None
    words: str


def trust_of(settings: Settings, address: str, lookups: Lookups, unsettled: Collection[str]) -> Trust:
    """Return the trust in the client at an IP address. `unsettled` are the names whose addresses are not known."""
    trust = settings.trusted
    verdict = trust.verdict(address, lookups, unsettled)
    if verdict is None:
        return Trust(None, f"a host name in RELAY_NETWORKS decides whether {address} may send anywhere")
    found = _deciding_item(trust, address, lookups)
    if found is None:
        return Trust(False, f"{address} is not in RELAY_NETWORKS")
    source = _source(settings, *found)
    may = "may send anywhere" if verdict else "may not send anywhere"
    return Trust(verdict, f"{address} {may} ({source})")


def _deciding_item(trust: TrustList, address: str, lookups: Lookups) -> tuple[int, TrustItem] | None:
    for index, item in enumerate(trust.items):
        if TrustList((replace(item, excluded=False),)).verdict(address, lookups):
            return index, item
    return None


def _source(settings: Settings, index: int, item: TrustItem) -> str:
    """Return the origin of an item in the list of trusted clients: loopback, NET_DEV or RELAY_NETWORKS."""
    texts = {each.name: each.text for each in settings.effective}
    added = table.RELAY_NETWORKS.value_type.read(texts[table.RELAY_NETWORKS.name]).items
    if index >= len(settings.trusted.items) - len(added):
        return f"{item} in RELAY_NETWORKS"
    return "the relay's own host" if index < len(LOOPBACK) else f"{item}, NET_DEV={texts[table.NET_DEV.name]}"
