"""Makes `[[router]]` rules of Postfix's transport and sender_relay (sender_dependent_relayhost_maps)."""

from collections.abc import Iterable

from mta.config.imports.blocks import CannotImportError, LeftOut, Section, Value
from mta.config.imports.hosts import Nexthop, read_nexthops
from mta.config.imports.logins import SaslPasswords
from mta.config.imports.routes import (
    ADDRESS,
    ANY,
    EVERYONE,
    TableRoute,
    TableRoutes,
    address_pattern,
    domain_pattern,
    first_of_each,
    sub_domains_pattern,
)
from mta.config.imports.tables import TableLine, postfix_table
from mta.rules.routes import read_fail

TRANSPORT, SENDER_RELAY = "transport", "sender_relay"

_SMTP = {"", "smtp", "relay"}
_LOCAL = {"local", "virtual", "lmtp", "dovecot"}
_DUNNO = "dunno"
_NULL_SENDER = "<>"


def import_transport(text: str, logins: SaslPasswords, taken: Iterable[str] = ()) -> Section:
    """Return the routes of a transport table in Postfix's order: addresses, domains, sub-domains, `*`.

    `taken` are patterns whose mail rules before these take.
    """
    section = Section(TRANSPORT)
    routes = TableRoutes(taken)
    for line in first_of_each(section, postfix_table(text)):
        try:
            order, pattern = _recipients(line.key)
            routes.add(TableRoute(line.number, order, pattern, None))
            if (action := _action(line.value, logins)) is not None:
                routes.set_action(order, pattern, action)
        except CannotImportError as error:
            section.left_out.append(LeftOut(line.number, str(error), line.text))
    section.blocks += routes.blocks(TRANSPORT)
    return section


def _recipients(key: str) -> tuple[int, str]:
    if key == ANY:
        return EVERYONE, ANY
    if key.startswith(("/", "!/")):
        raise CannotImportError("the line is one of a table of regular expressions, which is not read")
    if key.endswith(":"):
        raise CannotImportError("the key ends in a colon, so Postfix never finds it")
    if key.startswith("."):
        return sub_domains_pattern(key[1:])
    return address_pattern(key) if "@" in key else domain_pattern(key)


def _action(value: str, logins: SaslPasswords) -> tuple[str, Value] | None:
    """Return the action for `transport:nexthop`, or None if both are empty. Raises CannotImportError."""
    transport, colon, nexthop = value.partition(":")
    transport, nexthop = transport.strip().lower(), nexthop.strip()
    if not colon:
        raise CannotImportError("the line has no transport:nexthop behind the key")
    if transport in _SMTP:
        if not nexthop:
            return ("mx", True) if transport else None
        return _way(read_nexthops(nexthop), logins)
    if transport == "discard":
        return "discard", True
    if transport == "error":
        return "fail", _words(nexthop)
    if transport in _LOCAL:
        raise CannotImportError("mail for mailboxes goes by OTHER_HOSTNAMES and LOCAL_DELIVERY, not by a rule")
    if transport == "retry":
        raise CannotImportError("mail that waits without an attempt has no counterpart; hold = true keeps mail back")
    raise CannotImportError(f"a transport {transport!r} of master.cf has no counterpart; [[transport]] rules slow down")


def _words(text: str) -> str:
    words = text or "mail to this address is not deliverable"
    try:
        read_fail(words)
    except ValueError as error:
        raise CannotImportError(str(error)) from None
    return words


def _way(hops: tuple[Nexthop, ...], logins: SaslPasswords, sender: str = "") -> tuple[str, Value]:
    """Return the action for mail to these next hops, by a smarthost if Postfix has a login for them."""
    if name := logins.smarthost(hops, sender):
        return "smarthost", name
    domains = [hop for hop in hops if hop.looks_for_mx]
    if not domains:
        return "hosts", tuple(hop.place for hop in hops)
    if len(hops) > 1:
        raise CannotImportError("several next hops with MX hosts have no counterpart; put each host in [ ]")
    if hops[0].has_port:
        raise CannotImportError("a port for MX hosts needs a [[transport]] rule with port; put a host in [ ]")
    return "mx", hops[0].host


def import_sender_relay(text: str, logins: SaslPasswords, *, is_reached: bool = True) -> Section:
    """Return the routes by sender: addresses, then domains. `is_reached` tells whether they are asked at all."""
    section = Section(SENDER_RELAY)
    lines = list(first_of_each(section, postfix_table(text)))
    if not is_reached:
        reason = "the line * of transport takes all mail before it"
        section.left_out += [LeftOut(line.number, reason, line.text) for line in lines]
        return section
    keys = {line.key for line in lines}
    routes = TableRoutes()
    for line in lines:
        try:
            order, pattern = _sender(line.key)
            routes.add(TableRoute(line.number, order, pattern, None))
            _add_ways(routes, line, logins, keys)
        except CannotImportError as error:
            section.left_out.append(LeftOut(line.number, str(error), line.text))
    section.blocks += routes.blocks(SENDER_RELAY, "sender")
    return section


def _add_ways(routes: TableRoutes, line: TableLine, logins: SaslPasswords, keys: set[str]) -> None:
    """Give the route of a line its action, and add routes of senders of its domain that have their own logins."""
    if line.value.lower() == _DUNNO:
        return
    if not line.value:
        raise CannotImportError("the line has no host behind the sender")
    hops = read_nexthops(line.value)
    routes.set_action(*_sender(line.key), _way(hops, logins, line.key))
    for sender in logins.senders_of(line.key):
        if sender not in keys:
            routes.add(TableRoute(line.number, *_sender(sender), _way(hops, logins, sender)))


def _sender(key: str) -> tuple[int, str]:
    if key == _NULL_SENDER:
        return ADDRESS, key
    if key.startswith("@"):
        return domain_pattern(key[1:])
    if "@" not in key:
        raise CannotImportError("Postfix looks for an address or @domain, so it never finds this key")
    return address_pattern(key)
