"""Lists of patterns, in which domains, addresses and exact texts are found by one look-up, however many there are."""

from collections.abc import Callable, Iterable

from mta.rules.patterns import ANY, AddressPattern, Pieces, TextPattern, matches_pieces
from mta.smtp.address import Address

#: The patterns of a list that are tried one by one: regular expressions, and those with `*` inside a name.
MAX_SLOW_PATTERNS = 1000
_TOO_SLOW = f"a list has at most {MAX_SLOW_PATTERNS} regular expressions and patterns with * inside a name"


class AddressPatterns:
    """A list of address patterns, of which an address must match one.

    Domains, sub-domains, addresses and local parts are looked up, however many there are. Raises ValueError if more
    than MAX_SLOW_PATTERNS others must be tried one by one.
    """

    __slots__ = (
        "_addresses",
        "_all",
        "_below",
        "_domains",
        "_expressions",
        "_hash",
        "_locals",
        "_null_path",
        "_other_domains",
        "_others",
        "_with_local",
        "patterns",
    )

    def __init__(self, patterns: Iterable[AddressPattern]) -> None:
        #: The patterns in their order, each once.
        self.patterns = tuple(dict.fromkeys(patterns))
        # Counted once, because a list may be long and many rules may share it.
        self._hash = hash(self.patterns)
        self._null_path = self._all = False
        self._domains: set[str] = set()
        # The endings of sub-domains, with their dot.
        self._below: set[str] = set()
        self._addresses: set[tuple[str, str]] = set()
        self._locals: set[str] = set()
        # By their domains, the local parts with a wildcard.
        self._other_domains: dict[str, list[Pieces]] = {}
        self._others: list[tuple[Pieces, Pieces]] = []
        self._expressions: list[Callable[[str], bool]] = []
        for pattern in self.patterns:
            self._add(pattern)
        self._check_size()
        self._with_local = bool(
            self._addresses or self._locals or self._other_domains or self._others or self._expressions
        )

    def _add(self, pattern: AddressPattern) -> None:
        local, domain = pattern.local, pattern.domain
        if pattern.expression is not None:
            self._expressions.append(pattern.expression.matches)
        elif not domain:
            self._null_path = True
        elif local == ANY:
            self._add_domain(domain)
        elif domain == ANY and len(local) == 1:
            self._locals.add(local[0])
        elif len(domain) > 1:
            self._others.append((local, domain))
        elif len(local) > 1:
            self._other_domains.setdefault(domain[0], []).append(local)
        else:
            self._addresses.add((local[0], domain[0]))

    def _add_domain(self, domain: Pieces) -> None:
        if domain == ANY:
            self._all = True
        elif len(domain) == 1:
            self._domains.add(domain[0])
        elif len(domain) == 2 and not domain[0] and domain[1].startswith("."):
            self._below.add(domain[1])
        else:
            self._others.append((ANY, domain))

    def _check_size(self) -> None:
        slow = len(self._others) + len(self._expressions)
        if slow + max(map(len, self._other_domains.values()), default=0) > MAX_SLOW_PATTERNS:
            raise ValueError(_TOO_SLOW)

    def matches(self, address: Address | None) -> bool:
        """Return whether an address, or the null sender None, matches one of the patterns.

        `*` in a local part stands for any characters, also for a quoted `@`, so that no quoting avoids a rule.
        """
        if address is None:
            return self._null_path
        domain = address.domain
        if self._all or domain in self._domains or (self._below and self._is_below(domain)):
            return True
        return self._with_local and self._matches_local(address, address.local.lower(), domain)

    @property
    def asks_for_local(self) -> bool:
        """Whether two addresses of one domain may match differently."""
        return bool(self._expressions) or any(pattern.domain and pattern.local != ANY for pattern in self.patterns)

    def _is_below(self, domain: str) -> bool:
        # The first label may be empty nowhere, so each dot begins an ending.
        dot = domain.find(".")
        while dot >= 0:
            if domain[dot:] in self._below:
                return True
            dot = domain.find(".", dot + 1)
        return False

    def _matches_local(self, address: Address, local: str, domain: str) -> bool:
        if local in self._locals or (local, domain) in self._addresses:
            return True
        for pieces in self._other_domains.get(domain, ()):
            if matches_pieces(pieces, local):
                return True
        for here, there in self._others:
            if matches_pieces(there, domain) and matches_pieces(here, local):
                return True
        return any(matches(str(address)) for matches in self._expressions) if self._expressions else False

    def __eq__(self, other: object) -> bool:
        """Whether another list has the same patterns in the same order."""
        return isinstance(other, AddressPatterns) and self.patterns == other.patterns

    def __hash__(self) -> int:
        """Return the hash of the patterns."""
        return self._hash

    def __repr__(self) -> str:
        """Return the patterns as they were written."""
        return f"AddressPatterns({', '.join(map(str, self.patterns))})"


class TextPatterns:
    """A list of text patterns, of which a text must match one.

    Raises ValueError if more than MAX_SLOW_PATTERNS must be tried one by one.
    """

    __slots__ = ("_exact", "_expressions", "_globs", "_hash", "patterns")

    def __init__(self, patterns: Iterable[TextPattern]) -> None:
        #: The patterns in their order, each once.
        self.patterns = tuple(dict.fromkeys(patterns))
        self._hash = hash(self.patterns)
        self._exact = frozenset(pattern.pieces[0] for pattern in self.patterns if len(pattern.pieces) == 1)
        self._globs = tuple(pattern.pieces for pattern in self.patterns if len(pattern.pieces) > 1)
        self._expressions: tuple[Callable[[str], bool], ...] = tuple(
            pattern.expression.matches for pattern in self.patterns if pattern.expression is not None
        )
        if len(self._globs) + len(self._expressions) > MAX_SLOW_PATTERNS:
            raise ValueError(_TOO_SLOW)

    def matches(self, text: str) -> bool:
        """Return whether a text of up to `mta.rules.facts.MAX_TEXT` characters matches one of the patterns."""
        lower = text.lower()
        if lower in self._exact:
            return True
        for pieces in self._globs:
            if matches_pieces(pieces, lower):
                return True
        return any(matches(text) for matches in self._expressions) if self._expressions else False

    def __eq__(self, other: object) -> bool:
        """Whether another list has the same patterns in the same order."""
        return isinstance(other, TextPatterns) and self.patterns == other.patterns

    def __hash__(self) -> int:
        """Return the hash of the patterns."""
        return self._hash

    def __repr__(self) -> str:
        """Return the patterns as they were written."""
        return f"TextPatterns({', '.join(map(str, self.patterns))})"
