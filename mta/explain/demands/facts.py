"""The facts about the demands on the MX hosts of a domain, and their source."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mta.routing.demands.secured import SecuredDecision, SecuredRouting
    from mta.routing.direct import DirectRouting


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The facts about the MTA-STS policy of a domain besides its text."""

    #: When it ends, wall-clock seconds; None if there is none.
    until: float | None = None
    #: Why there is none although the domain announces one; "" otherwise.
    failure: str = ""


class DemandSource(Protocol):
    """The demands on MX hosts, for explanations."""

    def routing(self, direct: "DirectRouting") -> "SecuredRouting":
        """Return the routing by MX with demands."""

    def about(self, domain: str) -> PolicyFacts:
        """Return the facts about the policy of a domain that was just routed."""


@dataclass(frozen=True, slots=True)
class DemandFacts:
    """The demands on the MX hosts of a domain, and the policy of MTA-STS by which they were made."""

    secured: "SecuredDecision"
    policy: PolicyFacts
