"""Addresses that rules put in the place of others: the replacement of one address, and maps from patterns to them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from mta.message.address_fields import replace_addresses
from mta.rules.pattern_lists import MAX_SLOW_PATTERNS, AddressPatterns
from mta.rules.patterns import ANY, AddressPattern, read_address_pattern
from mta.smtp.address import MAX_ADDRESS_OCTETS, Address, AddressError, parse_address

# The answers that a map remembers, because the programs on a host send with the same few addresses; of values of fields
# only for those with up to so many octets.
_REMEMBERED, _SHORT = 256, 300
_ARROW = re.compile(r"[ \t]*+->[ \t]*+|[ \t]++")


@dataclass(frozen=True, slots=True)
class Replacement:
    """An address in the place of another one: `local` None keeps the other's local part."""

    local: str | None
    domain: str
    # The address if it is always the same.
    _address: Address | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make an address that does not depend on the other once."""
        object.__setattr__(self, "_address", None if self.local is None else Address(self.local, self.domain))

    def of(self, address: Address) -> Address:
        """Return the replacement of an address. An address that would become too long for SMTP stays."""
        if self._address is not None:
            return self._address
        found = Address(address.local, self.domain)
        return found if len(str(found).encode()) <= MAX_ADDRESS_OCTETS else address

    def __str__(self) -> str:
        """Return the replacement as it is written in a rule."""
        return f"*@{self.domain}" if self._address is None else str(self._address)


@dataclass(frozen=True, slots=True)
class MapLine:
    """One line of a map: the addresses that match are replaced."""

    pattern: AddressPattern
    replacement: Replacement


def read_replacement(text: str) -> Replacement:
    """Read `noreply@example.com` or `*@example.com`. Raises ValueError with words for its author."""
    keeps_local = text.startswith("*@")
    try:
        address = parse_address(f"x{text[1:]}" if keeps_local else text, loose=True)
    except AddressError as error:
        raise ValueError(f"{text!r} cannot take the place of an address: {error}") from None
    if not text.isascii():
        raise ValueError(f"{text!r} is not ASCII, and not every host takes such an address")
    if keeps_local:
        return Replacement(None, address.domain)
    if not address.domain or "*" in address.local:
        raise ValueError(f"{text!r} is neither one address nor *@example.com, which keeps the local part")
    return Replacement(address.local, address.domain)


def read_map_line(text: str) -> MapLine:
    """Read `root@*.lan -> ops@example.com`; blanks may stand for the arrow. Raises ValueError with words."""
    words = _ARROW.split(text.strip())
    if len(words) != 2:
        raise ValueError('a line of a map is a pattern and an address, "root@*.lan -> ops@example.com"')
    pattern, replacement = read_address_pattern(words[0]), read_replacement(words[1])
    if words[0] == "<>":
        raise ValueError("the null sender <> cannot be replaced")
    if replacement.local is None and pattern.local != ANY:
        raise ValueError(f"{words[1]} keeps a local part, and {words[0]} is not *@ and a domain")
    return MapLine(pattern, replacement)


class AddressMap:
    """The lines of a map, of which the first that matches an address decides.

    Addresses, domains and sub-domains are looked up, however many there are. Raises ValueError if more than
    `mta.rules.pattern_lists.MAX_SLOW_PATTERNS` others must be tried one by one.
    """

    __slots__ = ("_addresses", "_all", "_below", "_domains", "_locals", "_others", "_replace_short", "lines", "replace")

    def __init__(self, lines: Iterable[MapLine]) -> None:
        #: The lines in their order.
        self.lines = tuple(lines)
        # The numbers of the first lines with these patterns.
        self._addresses: dict[tuple[str, str], int] = {}
        self._domains: dict[str, int] = {}
        self._below: dict[str, int] = {}
        self._locals: dict[str, int] = {}
        self._all = len(self.lines)
        self._others: list[tuple[int, AddressPatterns]] = []
        #: Returns the address in the place of another one: the same if no line matches.
        self.replace: Callable[[Address], Address] = lru_cache(_REMEMBERED)(self._replace)
        self._replace_short: Callable[[bytes], bytes] = lru_cache(_REMEMBERED)(self._replace_in)
        for number, line in enumerate(self.lines):
            self._add(number, line.pattern)
        if len(self._others) > MAX_SLOW_PATTERNS:
            raise ValueError(
                f"a map has at most {MAX_SLOW_PATTERNS} regular expressions and patterns with * inside a name"
            )

    def _add(self, number: int, pattern: AddressPattern) -> None:
        local, domain = pattern.local, pattern.domain
        if local == ANY and domain == ANY:
            self._all = min(self._all, number)
        elif local == ANY and len(domain) == 1:
            self._domains.setdefault(domain[0], number)
        elif local == ANY and len(domain) == 2 and not domain[0] and domain[1].startswith("."):
            self._below.setdefault(domain[1], number)
        elif len(local) == 1 and domain == ANY:
            self._locals.setdefault(local[0], number)
        elif len(local) == 1 and len(domain) == 1:
            self._addresses.setdefault((local[0], domain[0]), number)
        else:
            self._others.append((number, AddressPatterns([pattern])))

    def __reduce__(self) -> "tuple[type[AddressMap], tuple[tuple[MapLine, ...]]]":
        """Pickle the map without the addresses that it remembers, for another process."""
        return AddressMap, (self.lines,)

    def replace_in(self, value: bytes) -> bytes:
        """Return the value of an address field with other addresses: the same object if no line matches one of them."""
        return self._replace_short(value) if len(value) <= _SHORT else self._replace_in(value)

    def _replace_in(self, value: bytes) -> bytes:
        return replace_addresses(value, self.replace)

    def _replace(self, address: Address) -> Address:
        local, domain = address.local.lower(), address.domain
        none = len(self.lines)
        first = min(
            self._all,
            self._addresses.get((local, domain), none),
            self._domains.get(domain, none),
            self._locals.get(local, none),
        )
        dot = domain.find(".") if self._below else -1
        while dot >= 0:
            first = min(first, self._below.get(domain[dot:], none))
            dot = domain.find(".", dot + 1)
        for number, patterns in self._others:
            if number >= first:
                break
            if patterns.matches(address):
                first = number
                break
        return address if first == none else self.lines[first].replacement.of(address)

    def __eq__(self, other: object) -> bool:
        """Whether another map has the same lines in the same order."""
        return isinstance(other, AddressMap) and self.lines == other.lines

    def __hash__(self) -> int:
        """Return the hash of the lines."""
        return hash(self.lines)

    def __repr__(self) -> str:
        """Return the lines as they are written in a rule."""
        return f"AddressMap({', '.join(f'{line.pattern} -> {line.replacement}' for line in self.lines)})"
