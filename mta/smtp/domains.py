"""Domain lists: the patterns by which an operator names the local domains and the relay domains."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mta.smtp.address import AddressError, parse_domain


@dataclass(frozen=True, slots=True)
class DomainList:
    """Domains by pattern: `a.test` itself, `*.a.test` its sub-domains only, `*` every domain.

    A leading `*` matches any text, so `*a.test` matches `a.test`, its sub-domains and `b-a.test`. Patterns have the
    form of `parse_pattern`.
    """

    patterns: tuple[str, ...] = ()
    _exact: frozenset[str] = field(init=False, repr=False, compare=False)
    _endings: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Separate the exact patterns from those with a wildcard."""
        object.__setattr__(self, "_exact", frozenset(p for p in self.patterns if not p.startswith("*")))
        object.__setattr__(self, "_endings", tuple(p[1:] for p in self.patterns if p.startswith("*")))

    def matches(self, domain: str) -> bool:
        """Return whether a domain, in any case, matches the list."""
        name = domain.lower()
        return name in self._exact or name.endswith(self._endings)

    def __str__(self) -> str:
        """Return the list as an operator writes it."""
        return " : ".join(self.patterns)


def parse_pattern(text: str) -> str:
    """Return a pattern in lower-case ASCII; `_` and a final dot are allowed, as in the addresses of trusted clients.

    Raises AddressError, which is a ValueError.
    """
    ending = text.lstrip("*")
    if len(text) - len(ending) > 1:
        raise AddressError(f"one * is enough in {text!r}")
    if text.startswith("["):
        raise AddressError(f"{text!r} is an address, not a domain")
    if ending == text:
        return parse_domain(text, loose=True)
    dot = "." if ending.startswith(".") else ""
    name = ending.removeprefix(".")
    return "*" + dot + (parse_domain(name, loose=True) if name or dot else "")


def domain_list(patterns: Iterable[str]) -> DomainList:
    """Return the list of these patterns, each once, in their order. Raises AddressError."""
    return DomainList(tuple(dict.fromkeys(map(parse_pattern, patterns))))
