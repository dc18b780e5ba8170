"""Makes `[[acl]]` rules of the lists of hosts and senders that Debian's Exim refuses, and of the exceptions from them.

Debian asks these lists about mail of clients that may not send anywhere, and not about mail to postmaster. An exception
holds for both lists, be it a host or a sender.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from mta.config.imports.blocks import Block, CannotImportError, LeftOut, Section, Value
from mta.config.imports.tables import TableLine, exim_list
from mta.config.trust import read_trust
from mta.inbound.networks import HostName, network
from mta.rules.patterns import read_address_pattern
from mta.smtp.address import is_deceptive

HOSTS_REFUSED, SENDERS_REFUSED = "local_host_blacklist", "local_sender_blacklist"
#: The files of exceptions, in their newer and older names.
HOSTS_EXCEPTED = ("host_local_deny_exceptions", "local_host_whitelist")
SENDERS_EXCEPTED = ("sender_local_deny_exceptions", "local_sender_whitelist")
#: All files that this module reads, in the order of their sections.
FILES = (*HOSTS_EXCEPTED, *SENDERS_EXCEPTED, HOSTS_REFUSED, SENDERS_REFUSED)

_REFUSALS = {
    HOSTS_REFUSED: "this host is locally blacklisted; if you think this is wrong, write to postmaster",
    SENDERS_REFUSED: "this sender is locally blacklisted; if you think this is wrong, write to postmaster",
}
# Each group of a list repeats the exceptions before it.
_MAX_REPEATED = 20_000
_TOO_MANY = (
    "negated items and others take turns too often; put the negated ones at its top, where they are exceptions from all"
    " others"
)
_LOOKUP = "a look-up in another file or a database has no counterpart"
_NAMES_OF_CLIENTS = "the relay does not look up the name of a client; name its network"


@dataclass(slots=True)
class _Group:
    """Items of a list up to the next negated one, and the negated ones before them."""

    items: list[str] = field(default_factory=list)
    unless: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def import_lists(files: Mapping[str, str]) -> Iterator[Section]:
    """Yield a section for each of the FILES that is there. Raises ValueError for a list that needs too many rules."""
    hosts, senders = list[str](), list[str]()
    for name in FILES:
        if name not in files:
            continue
        section = Section(name)
        of_hosts = name in {*HOSTS_EXCEPTED, HOSTS_REFUSED}
        found = _read(section, files[name], of_hosts=of_hosts)
        if name in _REFUSALS:
            section.blocks += _rules(name, found, hosts, senders)
        else:
            (hosts if of_hosts else senders).extend(_exceptions(section, found))
            section.comments.append(
                "Its items are exceptions in the rules below."
                if {HOSTS_REFUSED, SENDERS_REFUSED} & set(files)
                else "It has no effect, because there is no list of hosts or senders that are refused."
            )
        yield section


#: An item with the number of its line, and whether it is negated.
_Item = tuple[TableLine, bool, tuple[str, ...]]


def _read(section: Section, text: str, *, of_hosts: bool) -> list[_Item]:
    found = []
    read: Callable[[str], tuple[str, ...]] = host_patterns if of_hosts else sender_patterns
    for line in exim_list(text, of_addresses=not of_hosts):
        negated = line.key.startswith("!")
        try:
            found.append((line, negated, read(line.key[negated:].lstrip())))
        except CannotImportError as error:
            section.left_out.append(LeftOut(line.number, str(error), line.key))
    return found


def _exceptions(section: Section, items: list[_Item]) -> Iterator[str]:
    """Yield the items before the first negated one, because an exception has no exceptions of its own."""
    behind = False
    for line, negated, patterns in items:
        behind |= negated
        if behind:
            reason = "unless has no exceptions, and an item behind a negated one would be wider than it is here"
            section.left_out.append(LeftOut(line.number, reason, line.key))
        else:
            yield from patterns


def _rules(name: str, items: list[_Item], hosts: list[str], senders: list[str]) -> Iterator[Block]:
    key = "client" if name == HOSTS_REFUSED else "sender"
    for group in _groups(name, items, len(hosts) + len(senders)):
        unless = {"client": ["trusted", *hosts], "sender": senders, "recipient": ["postmaster@*"]}
        unless[key] = [*unless[key], *group.unless]
        entries: list[tuple[str, Value]] = [("name", name)]
        entries += [(key, tuple(dict.fromkeys(group.items)))] if group.items else []
        entries += [(f"unless.{each}", tuple(dict.fromkeys(texts))) for each, texts in unless.items() if texts]
        yield Block("[[acl]]", (*entries, ("deny", _REFUSALS[name])))


def _groups(file: str, items: list[_Item], excepted: int) -> list[_Group]:
    """Return the groups of a list, of which the first item that matches decides; each repeats `excepted` exceptions.

    A list that ends with a negated item matches everything else (section 10.2). Raises ValueError, with words for the
    operator, if the groups repeat too many exceptions.
    """
    groups: list[_Group] = []
    unless: list[str] = []
    repeated = 0
    for _, negated, patterns in items:
        if negated:
            unless += patterns
        else:
            if not groups or len(groups[-1].unless) != len(unless):
                repeated += len(unless) + (excepted if groups else 0)
                if repeated > _MAX_REPEATED:
                    raise ValueError(f"{file}: {_TOO_MANY}")
                groups.append(_Group(unless=list(unless)))
            groups[-1].items += patterns
    if items and items[-1][1]:
        groups.append(_Group(unless=unless))
    return groups


def host_patterns(item: str) -> tuple[str, ...]:
    """Return the values of `client` for an item of a list of hosts (section 10.11 and 10.12).

    Raises CannotImportError.
    """
    if item == "*":
        return ("0.0.0.0/0", "::/0")
    if item.startswith(("*", "^")):
        raise CannotImportError(_NAMES_OF_CLIENTS)
    if item.startswith("+"):
        raise CannotImportError("a name that is not found ends no list here, so the option is not necessary")
    if item.startswith(("@", "/")):
        raise CannotImportError("the item names no network or host")
    if ";" in item:
        raise CannotImportError(_LOOKUP)
    try:
        network(item)
        return (item.lower(),)
    except ValueError:
        pass
    try:
        (found,) = read_trust(item).items
    except ValueError:
        raise CannotImportError("the item is no network, no address and no host name") from None
    if not isinstance(found.clients, HostName) or ":" in item:
        raise CannotImportError("the item is no network, no address and no host name")
    return (item.lower(),)


def sender_patterns(item: str) -> tuple[str, ...]:
    """Return the address patterns for an item of a list of addresses (section 10.20). Raises CannotImportError."""
    if item.startswith("^"):
        return (_checked("<>" if item == "^$" else _whole(item)),)
    if item.startswith(("+", "/", "@")):
        raise CannotImportError("the item names another list, or an option of Exim's")
    if ";" in item:
        raise CannotImportError(_LOOKUP)
    local, at, domain = item.rpartition("@")
    local = local if at else "*"
    if "*" in local[1:] or "*" in domain[1:]:
        raise CannotImportError("Exim knows * only as the first character, and this * stands elsewhere")
    if domain.startswith(("+", "^")):
        raise CannotImportError("the domain is a list or a regular expression of its own")
    return (_checked("*" if local == domain == "*" else f"{local}@{domain}"),)


def _whole(expression: str) -> str:
    """Return an expression that must match the whole address. One of Exim's may match its beginning only.

    Raises CannotImportError.
    """
    expression = expression.replace("^(?i)", "^", 1)
    if _has_branches(expression):
        raise CannotImportError("the expression has branches outside of a group, of which ^ concerns only the first")
    ends = expression.endswith("$") and not expression.endswith("\\$")
    return expression.removesuffix("$") if ends else f"{expression}.*"


def _has_branches(expression: str) -> bool:
    depth = 0
    for part in re.findall(r"\\.|\[\^?\]?(?>(?:\\.|[^\]\\])*)\]|.", expression):
        depth += (part == "(") - (part == ")")
        if part == "|" and not depth:
            return True
    return False


def _checked(pattern: str) -> str:
    if pattern.startswith("+"):
        raise CannotImportError("a rule would take the + of this address for a list")
    if is_deceptive(pattern):
        raise CannotImportError("it has a control character, or one that cannot be seen")
    try:
        return str(read_address_pattern(pattern))
    except ValueError as error:
        raise CannotImportError(str(error)) from None
