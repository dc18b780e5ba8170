"""Routes of a table in the order of their precedence, as `[[router]]` rules."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mta.config.imports.blocks import Block, CannotImportError, LeftOut, Section, Value
from mta.config.imports.tables import TableLine
from mta.smtp.address import parse_address, parse_domain

#: The orders of patterns: routes of one order cannot match the same address. Sub-domains of a longer domain come
#: first.
ADDRESS, DOMAIN, _SUB_DOMAINS, EVERYONE = 0, 1, 1000, 10_000
ANY = "*"


@dataclass(frozen=True, slots=True)
class TableRoute:
    """A line of a table: a pattern of recipients or senders, and the action of a rule.

    The action None leaves mail its usual way.
    """

    line: int
    order: int
    pattern: str
    action: tuple[str, Value] | None


def address_pattern(text: str) -> tuple[int, str]:
    """Return order and pattern of one address. Raises CannotImportError."""
    try:
        address = str(parse_address(text, loose=True))
    except ValueError as error:
        raise CannotImportError(str(error)) from None
    if "*" in address:
        raise CannotImportError("a rule would take the * of this address for any characters")
    return ADDRESS, address


def domain_pattern(text: str) -> tuple[int, str]:
    """Return order and pattern of a domain without its sub-domains. Raises CannotImportError."""
    try:
        return DOMAIN, parse_domain(text, loose=True)
    except ValueError as error:
        raise CannotImportError(str(error)) from None


def sub_domains_pattern(text: str) -> tuple[int, str]:
    """Return order and pattern of the sub-domains of a domain. Raises CannotImportError."""
    domain = domain_pattern(text)[1]
    return _SUB_DOMAINS - len(domain.split(".")), f"*@*.{domain}"


def router_blocks(file: str, routes: Iterable[TableRoute], key: str = "recipient") -> Iterator[Block]:
    """Yield the rules of routes, whose patterns are of `key`. Those of one order with the same action share a rule."""
    groups: dict[tuple[int, tuple[str, Value] | None], list[TableRoute]] = {}
    for route in routes:
        groups.setdefault((route.order, route.action), []).append(route)
    exempt: list[str] = []
    for (order, action), members in sorted(groups.items(), key=lambda each: (each[0][0], each[0][1] is not None)):
        patterns = tuple(dict.fromkeys(member.pattern for member in members))
        if action is None:
            exempt += patterns
            continue
        entries: list[tuple[str, Value]] = [("name", file)]
        entries += [(key, patterns)] if order != EVERYONE else []
        unless = tuple(each for each in exempt if any(_covers(pattern, each) for pattern in patterns))
        entries += [(f"unless.{key}", unless)] if unless else []
        yield Block("[[router]]", (*entries, action), (places(file, (member.line for member in members)),))


def _covers(wide: str, narrow: str) -> bool:
    """Return whether a pattern matches addresses that a pattern of an earlier order matches, too."""
    local, _, domain = narrow.rpartition("@")
    if wide == ANY:
        return True
    if wide.startswith("*@*."):
        return domain.endswith(wide[3:])
    return bool(local) and domain == wide


def places(file: str, lines: Iterable[int]) -> str:
    """Return the places of lines in a file, `transport:1, 4`."""
    return f"{file}:{', '.join(map(str, sorted(set(lines))))}"


def first_of_each(section: Section, lines: Iterable[TableLine], *, secret: bool = False) -> Iterator[TableLine]:
    """Yield the first line for each key, because no other is ever found; the others are left out."""
    known: dict[str, int] = {}
    for line in lines:
        if line.key in known:
            reason = f"line {known[line.key]} has the same key and is found first"
            section.left_out.append(LeftOut(line.number, reason, "" if secret else line.text))
        else:
            known[line.key] = line.number
            yield line
