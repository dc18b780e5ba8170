"""The names of destinations: mail shares connections and limits if, and only if, its destinations have one name.

A name by MX records has a dot in it and neither a colon nor a blank, so that no domain's DNS can name a smarthost.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from mta.routing.route import Route, Smarthost, TlsRule

#: Characters up to which a name lists all its hosts; a longer list becomes the first host and a digest. The length is
#: bounded, because with several workers a name is sent over a channel for each connection.
MAX_DESTINATION_LENGTH = 200
# Hexadecimal digits kept of the digest: 128 bits, so that a host list with the same digest cannot be constructed.
_DIGEST_LENGTH = 32


def mx_destination(names: Iterable[str]) -> str:
    """Return the name for a set of MX hosts, which is the same for all domains that have it, whatever the preferences.

    The name depends on all hosts, because two domains that share only some hosts must not share limits.
    """
    hosts = sorted(names)
    if len(hosts) == 1:
        return hosts[0] if "." in hosts[0] else f"{hosts[0]}."
    return _bounded(",".join(hosts), hosts)


def smarthost_destination(smarthost: Smarthost) -> str:
    """Return the name for a smarthost, or for hosts that a rule lists.

    Rules may list the same hosts with another TLS rule or other authorities; these do not share connections.
    """
    if not smarthost.lists_hosts:
        return smarthost.name
    details = [] if smarthost.tls is TlsRule.OPPORTUNISTIC else [f"tls={smarthost.tls.value}"]
    if smarthost.ca_file is not None:
        details.append(f"ca_file={smarthost.ca_file}")
    return _bounded(" ".join((smarthost.name, *details)), [f"{host}:{port}" for host, port in smarthost.hosts])


def carried_destination(name: str, places: Sequence[str]) -> str:
    """Return the name for a destination that the rules in these places tell apart from others with the same hosts."""
    if not places:
        return name
    return f"{name} ({_bounded(', '.join(places), places)})"


def demanded_destination(name: str, routes: Sequence[Route], default: TlsRule) -> str:
    """Return the name for MX hosts of which the domain or the operator demands TLS: `mx.example.org (sts)`.

    `name` is that of the hosts, `default` the TLS rule of direct delivery. Two domains with the same hosts get the same
    name only if they demand the same of each host. Different TLSA records are no different demand, because all domains
    find the same ones at a host.
    """
    hosts_of: dict[str, list[str]] = {}
    for host, demand in sorted({route.host: _demand(route, default) for route in routes}.items()):
        hosts_of.setdefault(demand, []).append(host)
    demands = [demand for demand in sorted(hosts_of) if demand]
    if not demands:
        return name
    if len(hosts_of) > 1:
        demands = [f"{demand}: {', '.join(hosts_of[demand])}" for demand in demands]
    return f"{name} ({_bounded('; '.join(demands), demands)})"


def _demand(route: Route, default: TlsRule) -> str:
    """Return the demand on a host in words; "" if it is only the default."""
    words = [] if route.tls is default else [route.tls.value]
    if (proof := route.proof) is not None:
        words.append(proof.source.value)
        if not proof.enforced:
            words.append("testing")
        if not (proof.names or proof.records):
            words.append("any")
        # Names besides the host's own, which may belong to the domain, must not prove the host to another domain.
        words += sorted(set(proof.names) - {route.host, proof.server_name})
    return " ".join(words)


def _bounded(text: str, parts: Sequence[str]) -> str:
    """Return a text, or if it is too long, the first of its parts with a digest of all."""
    if len(text) <= MAX_DESTINATION_LENGTH:
        return text
    return f"{parts[0]} and {len(parts) - 1} more ({sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]})"
