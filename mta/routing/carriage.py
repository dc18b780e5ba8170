"""The carriage of mail as the operator's rules want it: connections, rates, TLS, names and addresses of the relay.

A router puts it on a plan. Routing applies `tls`, `port` and `ipv6`, the connector `helo` and `source`, and the
destination the rest.
"""

from dataclasses import dataclass

from mta.rate import Rate
from mta.routing.route import TlsRule


@dataclass(frozen=True, slots=True)
class CarriageRate:
    """Rates that hold together, with the place of the rule that has them: `30-pace.toml:1`, or a variable's name."""

    place: str
    limits: tuple[Rate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """The settings of one destination. A setting that is None or empty is as the relay has it without rules."""

    #: The places of the rules that any of the settings come from, each once, in the order of the rules.
    places: tuple[str, ...] = ()
    #: Those of them that may not apply to another domain with the same hosts. Two domains with the same hosts whose
    #: `apart` is different are different destinations; if it is the same, so is their carriage.
    apart: tuple[str, ...] = ()
    #: The largest number of connections to the destination at the same time.
    connections: int | None = None
    #: The messages after which a connection is closed.
    messages_per_connection: int | None = None
    #: The rates of all mail of a rule together, whatever its destination: all that have the same place share a window.
    rates: tuple[CarriageRate, ...] = ()
    #: The rates of this destination alone.
    rates_each: tuple[CarriageRate, ...] = ()
    #: The TLS that the routes require.
    tls: TlsRule | None = None
    #: The port of the hosts that MX records name.
    port: int | None = None
    #: The name that the relay gives in EHLO.
    helo: str | None = None
    #: The relay's own addresses from which to connect, one of each family at most.
    source: tuple[str, ...] = ()
    #: Whether IPv6 addresses are used.
    ipv6: bool | None = None
