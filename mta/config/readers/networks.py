"""Reads the networks of clients that may send anywhere, and those of load balancers."""

from collections.abc import Callable

from mta.config import table
from mta.config.setting import SettingsReader
from mta.inbound.networks import LOOPBACK, Everyone, IPNetwork, Network, TrustItem, TrustList


def read_trusted(reader: SettingsReader, networks: Callable[[str], tuple[IPNetwork, ...]]) -> TrustList:
    """Return the clients that may send anywhere. `networks` returns the networks of an interface or raises OSError."""
    device = reader.get(table.NET_DEV)
    try:
        near = networks(device)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reader.notice(f"NET_DEV={device} adds no trusted networks: {reason}")
        near = ()
    _notice_public(reader, device, near)
    added = reader.get(table.RELAY_NETWORKS).items
    if any(_is_everyone(item) for item in added):
        reader.notice("RELAY_NETWORKS lets everyone send anywhere: strangers who can connect will send spam")
    return TrustList((*LOOPBACK, *(TrustItem(Network(network)) for network in near), *added))


def read_proxy_networks(reader: SettingsReader) -> TrustList:
    """Return the networks of load balancers."""
    balancers = reader.get(table.PROXY_NETWORKS)
    if any(_is_everyone(item) for item in balancers.items):
        reader.notice(
            "PROXY_NETWORKS lets everyone choose the client address that the relay trusts: name the balancers"
        )
    return balancers


def _notice_public(reader: SettingsReader, device: str, near: tuple[IPNetwork, ...]) -> None:
    """Add a notice if NET_DEV has a public network of more than one address, which lets strangers send."""
    public = [str(network) for network in near if network.is_global and network.num_addresses > 1]
    if public:
        more = f" and {len(public) - 1} more" if public[1:] else ""
        reader.notice(
            f"NET_DEV={device} lets strangers send anywhere from the public network {public[0]}{more}: "
            "set NET_DEV=lo, and RELAY_NETWORKS to the clients that may send"
        )


def _is_everyone(item: TrustItem) -> bool:
    wide = isinstance(item.clients, Everyone) or (
        isinstance(item.clients, Network) and item.clients.network.prefixlen == 0
    )
    return wide and not item.excluded
