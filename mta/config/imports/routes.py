"""Routes of a table in the order of their precedence, as `[[router]]` rules."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mta.config.imports.blocks import Block, CannotImportError, LeftOut, Section, Value
from mta.config.imports.tables import TableLine
from mta.smtp.address import parse_address, parse_domain

#: The orders of patterns: routes of one order cannot match the same address. Sub-domains of a longer domain come
#: first.
ADDRESS, DOMAIN, _SUB_DOMAINS, EVERYONE = 0, 1, 1000, 10_000
ANY = "*"
# At the beginning of an item they make it an exception, a list or a regular expression.
_SIGNS = ("!", "+", "^")


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
    if address.startswith(_SIGNS):
        raise CannotImportError(f"a rule would take the {address[0]} of this address for a sign")
    return ADDRESS, address


def domain_pattern(text: str) -> tuple[int, str]:
    """Return order and pattern of a domain without its sub-domains. Raises CannotImportError."""
    return DOMAIN, _whole(domain_name(text))


def domain_name(text: str) -> str:
    """Return a domain as patterns have it. Raises CannotImportError."""
    try:
        return parse_domain(text, loose=True)
    except ValueError as error:
        raise CannotImportError(str(error)) from None


def _whole(domain: str) -> str:
    """Return the pattern of a domain. A name without a dot could be a local part as well, so that it is written out."""
    return domain if "." in domain or domain.startswith("[") else f"*@{domain}"


def sub_domains_pattern(text: str) -> tuple[int, str]:
    """Return order and pattern of the sub-domains of a domain. Raises CannotImportError."""
    domain = domain_name(text)
    return _SUB_DOMAINS - len(domain.split(".")), f"*@*.{domain}"


class TableRoutes:
    """The routes of a table while its lines are read. `taken` are patterns whose mail the rules before them take."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._routes: dict[tuple[int, str], TableRoute] = {}
        self._taken = frozenset(taken)

    def add(self, route: TableRoute) -> None:
        """Add a route. Raises CannotImportError if no mail is left for it."""
        known = self._routes.get((route.order, route.pattern))
        if known is not None:
            raise CannotImportError(f"line {known.line} is about the same mail")
        if self._taken.intersection(_covering(route.pattern)):
            raise CannotImportError("the rules of another file take its mail before it")
        self._routes[route.order, route.pattern] = route

    def set_action(self, order: int, pattern: str, action: tuple[str, Value]) -> None:
        """Give a route its action. Without one, it still keeps its mail from less specific routes."""
        self._routes[order, pattern] = replace(self._routes[order, pattern], action=action)

    def blocks(self, file: str, key: str = "recipient") -> Iterator[Block]:
        """Yield the rules, whose patterns are of `key`. Routes of one order with the same action share a rule."""
        groups: dict[tuple[int, tuple[str, Value] | None], list[TableRoute]] = {}
        for route in self._routes.values():
            groups.setdefault((route.order, route.action), []).append(route)
        # The patterns without an action, by all patterns that cover them.
        exempt: dict[str, list[str]] = {}
        for (order, action), members in sorted(groups.items(), key=lambda each: (each[0][0], each[0][1] is not None)):
            patterns = tuple(member.pattern for member in members)
            if action is None:
                for pattern in patterns:
                    for wide in _covering(pattern):
                        exempt.setdefault(wide, []).append(pattern)
                continue
            entries: list[tuple[str, Value]] = [("name", file)]
            entries += [(key, patterns)] if order != EVERYONE else []
            unless = tuple(dict.fromkeys(each for pattern in patterns for each in exempt.get(pattern, ())))
            entries += [(f"unless.{key}", unless)] if unless else []
            yield Block("[[router]]", (*entries, action), (places(file, (member.line for member in members)),))


def taken_by(blocks: Iterable[Block], key: str = "recipient") -> Iterator[str]:
    """Yield the patterns for which a rule of these applies without another condition, `*` for a rule without any."""
    for block in blocks:
        conditions = [(name, value) for name, value in block.entries[:-1] if name != "name"]
        if not conditions:
            yield ANY
        elif len(conditions) == 1 and conditions[0][0] == key and isinstance(conditions[0][1], tuple):
            yield from conditions[0][1]


def _covering(pattern: str) -> Iterator[str]:
    """Yield the patterns that match all addresses which a pattern matches, itself first."""
    yield pattern
    if pattern == ANY:
        return
    yield ANY
    local, _, domain = pattern.rpartition("@")
    if local not in {"", "*"} and not domain.startswith("*."):
        yield _whole(domain)
    parents = domain.removeprefix("*.").split(".")
    yield from (f"*@*.{'.'.join(parents[count:])}" for count in range(1, len(parents)))


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
