"""The facts about a destination of which its page is made. Times are wall-clock seconds."""

from dataclasses import dataclass

from mta.admin.state import DestinationState
from mta.explain.destination.mx_hosts import MxHosts
from mta.explain.values import RouteVerdict, TransportVerdict
from mta.queue.interface import DomainShape, Entry
from mta.routing.route import Smarthost, TlsRule


@dataclass(frozen=True, slots=True)
class TlsFact:
    """The TLS that connections to some hosts must have, and the place that it comes from; "" is the default."""

    hosts: tuple[str, ...]
    rule: TlsRule
    implicit: bool
    place: str
    #: The proof that the hosts must give besides, in words; "" if none.
    demand: str = ""


@dataclass(frozen=True, slots=True)
class Ways:
    """How the relay would send mail for a domain now."""

    route: RouteVerdict
    transport: TransportVerdict | None
    #: None if mail does not go to MX hosts, or if they were not looked up.
    mx: MxHosts | None
    tls: tuple[TlsFact, ...]
    #: The names of the destination in the delivery: of mail without a demand on TLS, and of messages that have one.
    destinations: tuple[str, ...]
    #: The policies by which the hosts must prove themselves, in words.
    policy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DestinationFacts:
    """A domain, host or smarthost, and its mail."""

    name: str
    now: float
    running: bool
    #: None if the settings have mistakes, which are in `mistakes` then, or if it is a host and no domain with mail.
    ways: Ways | None = None
    mistakes: tuple[str, ...] = ()
    #: The recipients that wait, of the domain; None if there are none.
    shape: DomainShape | None = None
    #: The domains with mail that this host was last tried for.
    by_host: tuple[DomainShape, ...] = ()
    #: The smarthost that it is, or is a host of.
    smarthost: Smarthost | None = None
    #: As the delivery has them, most waiting first.
    live: tuple[DestinationState, ...] = ()
    #: Some messages that wait for it, and some that finished there last.
    entries: tuple[Entry, ...] = ()
    #: Remarks about facts that are not known.
    hints: tuple[str, ...] = ()
