"""Domain lists: the patterns by which an operator names our own domains and those we relay to."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mta.smtp.address import AddressError, parse_domain


@dataclass(frozen=True, slots=True)
class DomainList:
    """Domains by pattern: `a.test` itself, `*.a.test` its sub-domains only, `*` every domain.

    A leading `*` stands for any text, so `*a.test` means `a.test`, its sub-domains and `b-a.test`. Patterns are in the
    form `parse_pattern` gives.
    """

    patterns: tuple[str, ...] = ()
    _exact: frozenset[str] = field(init=False, repr=False, compare=False)
    _endings: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort the patterns by how they are matched."""
        object.__setattr__(self, "_exact", frozenset(p for p in self.patterns if not p.startswith("*")))
        object.__setattr__(self, "_endings", tuple(p[1:] for p in self.patterns if p.startswith("*")))

    def matches(self, domain: str) -> bool:
        """Whether a domain belongs to the list, whatever its case."""
        name = domain.lower()
        return name in self._exact or name.endswith(self._endings)

    def __str__(self) -> str:
        """Give the list as an operator writes it."""
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
    """Return the list of these patterns, each once, in the order given. Raises AddressError."""
    return DomainList(tuple(dict.fromkeys(map(parse_pattern, patterns))))
