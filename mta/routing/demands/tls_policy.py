"""TLS_POLICY: the TLS that an operator demands for recipient domains, before the policies that these publish."""

import enum
from dataclasses import dataclass

from mta.routing.route import TlsRule

_EVERY_DOMAIN = "*"


class TlsLevel(enum.Enum):
    """The TLS of one entry; each value is stricter than the one before."""

    #: No TLS, not even where it is offered.
    NONE = "none"
    #: TLS where it is offered, with any certificate.
    OPPORTUNISTIC = "opportunistic"
    #: TLS with any certificate, or the mail waits.
    REQUIRE = "require"
    #: TLS with a certificate of a trusted authority for the name of the MX host, or the mail waits.
    VERIFY = "verify"
    #: TLS as TLSA records demand that DNSSEC proves, or the mail waits.
    DANE = "dane"

    @property
    def rule(self) -> TlsRule:
        """The TLS that every route needs. The records of a host demand more than that for DANE."""
        return TlsRule.REQUIRE if self is TlsLevel.DANE else TlsRule(self.value)


@dataclass(frozen=True, slots=True)
class TlsPolicyEntry:
    """The level for the domains that a pattern matches; patterns are those of DomainList."""

    pattern: str
    level: TlsLevel

    def matches(self, domain: str) -> bool:
        """Whether the entry is for a domain."""
        name = domain.lower()
        return name.endswith(self.pattern[1:]) if self.pattern.startswith("*") else name == self.pattern

    def covers(self, other: "TlsPolicyEntry") -> bool:
        """Whether the entry is for every domain of another one, so that the other one never decides after it."""
        if not self.pattern.startswith("*"):
            return self.pattern == other.pattern
        return other.pattern.removeprefix("*").endswith(self.pattern[1:])

    @property
    def is_default(self) -> bool:
        """Whether this is the level of all other domains, which never weakens the policy that a domain publishes."""
        return self.pattern == _EVERY_DOMAIN

    def __str__(self) -> str:
        """Return the entry as an operator writes it."""
        return f"{self.pattern}={self.level.value}"


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """The entries in their order. The first one that matches decides."""

    entries: tuple[TlsPolicyEntry, ...] = ()

    def entry(self, domain: str) -> TlsPolicyEntry | None:
        """Return the entry that decides for a recipient's domain, whatever the domain publishes; None if none does."""
        return next((entry for entry in self.entries if not entry.is_default and entry.matches(domain)), None)

    @property
    def default(self) -> TlsPolicyEntry | None:
        """The entry for domains that no other one matches and that publish nothing; None without an entry for `*`."""
        return next((entry for entry in self.entries if entry.is_default), None)

    def __str__(self) -> str:
        """Return the entries as an operator writes them."""
        return "; ".join(map(str, self.entries))
