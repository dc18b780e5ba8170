"""The identity of the relay: its name and its addresses, as receivers look them up when it connects."""

from collections.abc import Iterator
from dataclasses import dataclass

from mta.doctor.findings import Finding, Level, failure, ok, skipped, warning
from mta.doctor.lookups import LookUp, Records, address_record, addresses_of, reverse_name

_NAME = "identity/mailname"
_PTR = "identity/ptr"


@dataclass(frozen=True, slots=True)
class IdentityFacts:
    """The name and the addresses with which the relay connects to other hosts."""

    #: The name in EHLO.
    mailname: str
    #: The public addresses from which mail leaves.
    addresses: tuple[str, ...] = ()
    #: The addresses from which connections are made, but which the network translates.
    private: tuple[str, ...] = ()
    #: Whether all mail leaves through smarthosts, which have names and addresses of their own.
    by_smarthost: bool = False


def check_identity(facts: IdentityFacts, look_up: LookUp) -> Iterator[Finding]:
    """Yield findings about MAILNAME, and the PTR record of each address and the way back from it."""
    yield _mailname(facts, look_up)
    if facts.by_smarthost:
        yield skipped(_PTR, "all mail leaves through a smarthost, whose addresses the receivers look up")
        return
    for address in facts.addresses:
        yield _ptr(facts.mailname, address, look_up)
    if not facts.addresses:
        seen = f"mail leaves from {', '.join(facts.private)}, which the network translates" if facts.private else ""
        yield skipped(_PTR, seen or "this host has no address to the outside", "give the public address by --address")


def _mailname(facts: IdentityFacts, look_up: LookUp) -> Finding:
    name = facts.mailname
    weight = Level.WARNING if facts.by_smarthost else Level.FAILURE
    records = tuple(address_record(name, address) for address in facts.addresses)
    if "." not in name:
        return Finding(_NAME, weight, f"MAILNAME={name} is no full name", "set MAILNAME to a name that the DNS knows")
    found = addresses_of(name, look_up)
    if found.failed:
        return warning(_NAME, f"looking up {name} failed: {found.failed}", "check the name servers of the domain")
    if not found.texts:
        remedy = (
            "add its address to the DNS, or set MAILNAME to a name that the DNS knows: many receivers refuse others"
        )
        return Finding(_NAME, weight, f"the DNS has no address of MAILNAME={name}", remedy, records)
    missing = [address for address in facts.addresses if address not in found.texts]
    if missing and not facts.by_smarthost:
        seen = f"{name} is {', '.join(found.texts)}, and mail also leaves from {', '.join(missing)}"
        remedy = "add the address to the DNS, or send from the other one by source in a [[transport]] rule"
        return warning(_NAME, seen, remedy, *(address_record(name, address) for address in missing))
    return ok(_NAME, f"{name} is {', '.join(found.texts)}")


def _ptr(mailname: str, address: str, look_up: LookUp) -> Finding:
    """Return the finding about one address: its name, and whether that name leads back to it."""
    pointer = reverse_name(address)
    record = f"{pointer}. IN PTR {mailname}."
    names = look_up(pointer, "PTR")
    if names.failed:
        return warning(_PTR, f"looking up the name of {address} failed: {names.failed}", _OWNER)
    if not names.texts:
        seen = f"{address} has no PTR record, and many receivers refuse mail from such addresses"
        return failure(_PTR, seen, _OWNER, record)
    ways = {name: addresses_of(name, look_up) for name in names.texts[:5]}
    confirmed = [name for name, found in ways.items() if address in found.texts]
    if not confirmed:
        return _unconfirmed(address, ways, record)
    if mailname.lower() not in confirmed:
        seen = f"{address} is {confirmed[0]}, but the relay greets as {mailname}"
        return warning(_PTR, seen, f"set MAILNAME={confirmed[0]}, or change the PTR record; {_OWNER}", record)
    return ok(_PTR, f"{address} is {mailname}, which leads back to it")


def _unconfirmed(address: str, ways: dict[str, Records], record: str) -> Finding:
    name, found = next(iter(ways.items()))
    if found.failed:
        return warning(_PTR, f"{address} is {name}, whose look-up failed: {found.failed}", "check its name servers")
    seen = f"{address} is {name}, but that name is {', '.join(found.texts) or 'no host'}"
    remedy = f"give {name} this address, or change the PTR record; {_OWNER}"
    return failure(_PTR, seen, remedy, address_record(name, address), record)


_OWNER = "the owner of the address sets its PTR record: the hosting or Internet provider"
