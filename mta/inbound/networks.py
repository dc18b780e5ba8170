"""Trust lists: the clients that may send mail anywhere, by network, by address or by host name."""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Addresses whose verdict is cached.
_CACHED = 4096
_ADDRESS_OR_NETWORK = re.compile(r"[0-9a-fA-F:.]+(?:/[0-9]{1,3})?")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Network:
    """A network, or one address. An IPv4-mapped one must be given as IPv4, otherwise it matches no client."""

    network: IPNetwork

    def __str__(self) -> str:
        """Return `192.0.2.0/24`, or a single address without its prefix length."""
        return str(self.network.network_address if self.network.num_addresses == 1 else self.network)


@dataclass(frozen=True, slots=True)
class HostName:
    """The present addresses of a host name. `name` is in lower case."""

    name: str

    def __str__(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True)
class Everyone:
    """Every client: an open relay."""

    def __str__(self) -> str:
        """Return `*`, as in a list."""
        return "*"


@dataclass(frozen=True, slots=True)
class TrustItem:
    """One item of a list. Clients that match an excluded item are not trusted."""

    clients: Network | HostName | Everyone
    excluded: bool = False

    def __str__(self) -> str:
        """Return the item as an operator writes it."""
        return f"!{self.clients}" if self.excluded else str(self.clients)


# The client's address, the host names before the first item that matches the address, and the verdict of that item.
_Match = tuple[IPAddress | None, tuple[TrustItem, ...], bool]


@dataclass(frozen=True, slots=True)
class TrustList:
    """Items in order; the first that matches a client decides, and a client that none matches is not trusted.

    A list that ends in an exclusion trusts no other clients, whereas Exim would then trust all others.
    """

    items: tuple[TrustItem, ...] = ()
    _match: Callable[[str], _Match] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Give the list a cache of its own for the verdicts on addresses."""
        object.__setattr__(self, "_match", lru_cache(_CACHED)(self._match_address))

    @property
    def names(self) -> tuple[str, ...]:
        """The host names in the list, each once; `verdict` needs their addresses."""
        return tuple(dict.fromkeys(item.clients.name for item in self.items if isinstance(item.clients, HostName)))

    def verdict_without_names(self, client: str) -> bool:
        """Return whether the client at this IP address is trusted, by a list that has no host names."""
        return self._match(client)[2]

    def verdict(
        self, client: str, lookups: Mapping[str, frozenset[IPAddress]], unsettled: Collection[str] = ()
    ) -> bool | None:
        """Return whether the client at this IP address is trusted; None if that is not yet known.

        `lookups` has the present addresses of each host name; a name that is not in it matches no client. An
        `unsettled` name may have more addresses: the verdict is None if they could change it.
        """
        address, names, verdict = self._match(client)
        possible: set[bool] = set()
        for item in names:
            if not isinstance(item.clients, HostName):
                continue
            if address in lookups.get(item.clients.name, ()):
                verdict = not item.excluded
                break
            if item.clients.name in unsettled:
                possible.add(not item.excluded)
        return None if possible - {verdict} else verdict

    def __reduce__(self) -> tuple[type["TrustList"], tuple[tuple[TrustItem, ...]]]:
        """Pickle the list without its cache, for another process."""
        return TrustList, (self.items,)

    def _match_address(self, client: str) -> _Match:
        address = client_address(client)
        if address is None:
            return None, (), False
        names = []
        for item in self.items:
            if isinstance(item.clients, HostName):
                names.append(item)
            elif isinstance(item.clients, Everyone) or address in item.clients.network:
                return address, tuple(names), not item.excluded
        return address, tuple(names), False

    def __str__(self) -> str:
        """Return the list as an operator writes it, with separators that need no doubled colons in IPv6 addresses."""
        return " ; ".join(map(str, self.items))


def client_address(text: str) -> IPAddress | None:
    """Return a client's address without its scope, an IPv4-mapped address as IPv4 (RFC 4291 section 2.5.5.2).

    None means that the text is not an IP address, as for the peer of a Unix socket.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return unmapped(address)


def unmapped(address: IPAddress) -> IPAddress:
    """Return the IPv4 address inside an IPv4-mapped address; return any other address unchanged."""
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def network(text: str) -> Network:
    """Parse `192.0.2.0/24`, `2001:db8::/32` or an address. Bits beyond the prefix are dropped. Raises ValueError."""
    # Python also accepts a scope, which is not part of a client's address here, and a mask of either polarity.
    if not _ADDRESS_OR_NETWORK.fullmatch(text):
        raise ValueError(f"{text!r} is not an address, nor one with / and a prefix length")
    read = ipaddress.ip_network(text, strict=False)
    if isinstance(read, ipaddress.IPv6Network) and read.subnet_of(_MAPPED):
        inner = unmapped(read.network_address)
        return Network(ipaddress.ip_network(f"{inner}/{read.prefixlen - _MAPPED.prefixlen}"))
    return Network(read)


#: Always trusted. The rest of 127.0.0.0/8 is not, because other parties may use it if a host shares its loopback.
LOOPBACK = (TrustItem(network("127.0.0.1")), TrustItem(network("::1")))
