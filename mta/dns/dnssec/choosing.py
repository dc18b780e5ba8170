"""Chooses the Authenticity that a value of DNSSEC stands for."""

from collections.abc import Callable

from mta.dns.client import DnsClient
from mta.dns.dnssec.ad_bit import AdBit, Off, on_loopback
from mta.dns.dnssec.authenticity import Authenticity
from mta.dns.dnssec.library import Libunbound, libunbound
from mta.dns.dnssec.root_check import RootCheck
from mta.dns.dnssec.trust_anchors import root_anchors
from mta.dns.dnssec.unbound import IUnboundReactor, UnboundResolver

#: The mistake of DNSSEC=libunbound on a system without the library.
NO_LIBRARY = "DNSSEC=libunbound: libunbound.so.8 cannot be loaded. Install Debian's libunbound8, or set DNSSEC=auto"


class DnssecUnavailable(Exception):
    """The way that DNSSEC names does not exist on this system. The message is one line for the operator."""


def check_setting(setting: str, library: Callable[[], Libunbound | None] = libunbound) -> None:
    """Raise DnssecUnavailable if this system lacks the library that DNSSEC names."""
    if setting == "libunbound" and library() is None:
        raise DnssecUnavailable(NO_LIBRARY)


def choose(
    setting: str,
    reactor: IUnboundReactor,
    client: DnsClient,
    *,
    notice: Callable[[str], object] = lambda _: None,
    library: Callable[[], Libunbound | None] = libunbound,
) -> Authenticity:
    """Return the Authenticity for DNSSEC=auto, libunbound, trust or off, which asks the name servers of `client`.

    `auto` is libunbound if the library is there, otherwise the AD bit as long as all name servers are on this host.
    Raises DnssecUnavailable.
    """
    check_setting(setting, library)
    if setting == "off":
        return Off(client, reactor.seconds)
    validator: Authenticity
    loaded = None if setting == "trust" else library()
    if loaded is not None:
        validator = UnboundResolver(reactor, loaded, lambda: client.servers, root_anchors())
    elif setting == "trust":
        validator = AdBit(client, reactor.seconds)
    else:
        validator = AdBit(client, reactor.seconds, trusted=on_loopback)
        notice(
            "DNSSEC=auto: libunbound.so.8 cannot be loaded (Debian: libunbound8), so DANE works only with a"
            " validating DNS server on this host"
        )
    plain = Off(client, reactor.seconds, "answers cannot be validated now")
    return RootCheck(reactor, validator, plain, lambda: client.servers, notice)
