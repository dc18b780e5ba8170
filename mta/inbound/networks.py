"""Trust lists: which clients are our own, by network, by address or by name."""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Each verdict on an address is kept; a crowd of strangers turns over the oldest ones.
_REMEMBERED = 4096
_WRITTEN = re.compile(r"[0-9a-fA-F:.]+(?:/[0-9]{1,3})?")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Network:
    """A network, or one address. Of an IPv4-mapped one build the IPv4 network, or no client will match it."""

    network: IPNetwork

    def __str__(self) -> str:
        """Give `192.0.2.0/24`, or a single address without its prefix length."""
        return str(self.network.network_address if self.network.num_addresses == 1 else self.network)


@dataclass(frozen=True, slots=True)
class HostName:
    """The addresses a host name has at the moment. `name` is in lower case."""

    name: str

    def __str__(self) -> str:
        """Give the name."""
        return self.name


@dataclass(frozen=True, slots=True)
class Everyone:
    """Every client: an open relay."""

    def __str__(self) -> str:
        """Give `*`, as in a list."""
        return "*"


@dataclass(frozen=True, slots=True)
class TrustItem:
    """One item of a list; an excluded one says who is not trusted."""

    who: Network | HostName | Everyone
    excluded: bool = False

    def __str__(self) -> str:
        """Give the item as an operator writes it."""
        return f"!{self.who}" if self.excluded else str(self.who)


# The name items that stand before the first item which the address itself decides, and what that one decides.
_Sifted = tuple[IPAddress | None, tuple[TrustItem, ...], bool]


@dataclass(frozen=True, slots=True)
class TrustList:
    """Items in order; the first that matches a client decides, and a client that none matches is not trusted.

    A list that ends in an exclusion trusts nobody beyond it, whereas Exim would then trust everyone else.
    """

    items: tuple[TrustItem, ...] = ()
    _sift: Callable[[str], _Sifted] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Give the list a memory of its own for addresses it has seen."""
        object.__setattr__(self, "_sift", lru_cache(_REMEMBERED)(self._sift_address))

    @property
    def names(self) -> tuple[str, ...]:
        """The host names whose addresses `verdict` needs, each once."""
        return tuple(dict.fromkeys(item.who.name for item in self.items if isinstance(item.who, HostName)))

    def verdict(
        self, client: str, lookups: Mapping[str, frozenset[IPAddress]], unsettled: Collection[str] = ()
    ) -> bool | None:
        """Return whether a client is trusted, by its IP address as a socket gives it; None if that is not known yet.

        `lookups` has the addresses that each host name has now; a name that is not in it matches no client. An
        `unsettled` name may have more addresses: the verdict is None if they could change it.
        """
        address, names, verdict = self._sift(client)
        possible: set[bool] = set()
        for item in names:
            if not isinstance(item.who, HostName):
                continue
            if address in lookups.get(item.who.name, ()):
                verdict = not item.excluded
                break
            if item.who.name in unsettled:
                possible.add(not item.excluded)
        return None if possible - {verdict} else verdict

    def __reduce__(self) -> tuple[type["TrustList"], tuple[tuple[TrustItem, ...]]]:
        """Be copied to another process without the memory, which is made anew there."""
        return TrustList, (self.items,)

    def _sift_address(self, client: str) -> _Sifted:
        address = client_address(client)
        if address is None:
            return None, (), False
        names = []
        for item in self.items:
            if isinstance(item.who, HostName):
                names.append(item)
            elif isinstance(item.who, Everyone) or address in item.who.network:
                return address, tuple(names), not item.excluded
        return address, tuple(names), False

    def __str__(self) -> str:
        """Give the list as an operator writes it, separated so that IPv6 needs no doubled colons."""
        return " ; ".join(map(str, self.items))


def client_address(text: str) -> IPAddress | None:
    """Return a client's address without its scope, an IPv4-mapped one as IPv4 (RFC 4291 section 2.5.5.2).

    None means that the text is no IP address, as with the peer of a Unix socket.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return unmapped(address)


def unmapped(address: IPAddress) -> IPAddress:
    """Return the IPv4 address inside an IPv4-mapped one, any other as it is."""
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def network(text: str) -> Network:
    """Read `192.0.2.0/24`, `2001:db8::/32` or an address. Bits beyond the prefix are dropped. Raises ValueError."""
    # Python would also take a scope, which a client's address is compared without, and a mask of either polarity.
    if not _WRITTEN.fullmatch(text):
        raise ValueError(f"{text!r} is not an address, nor one with / and a prefix length")
    read = ipaddress.ip_network(text, strict=False)
    if isinstance(read, ipaddress.IPv6Network) and read.subnet_of(_MAPPED):
        inner = unmapped(read.network_address)
        return Network(ipaddress.ip_network(f"{inner}/{read.prefixlen - _MAPPED.prefixlen}"))
    return Network(read)


#: Trusted always. Not 127.0.0.0/8: where a host shares its loopback with others, they may come from the rest of it.
LOOPBACK = (TrustItem(network("127.0.0.1")), TrustItem(network("::1")))
