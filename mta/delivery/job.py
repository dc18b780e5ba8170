"""One claimed message while it is in work: its groups of recipients and what became of each so far."""

from dataclasses import dataclass
from typing import Protocol

from mta.delivery.carriage import Parcel
from mta.message.outcome import Outcome
from mta.queue.interface import Claim, Pending


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome with what the log wants to know of it.

    `waited` and `transfer` are seconds; `not_before` is the earliest time for another attempt, because the destination
    takes nothing until then.
    """

    outcome: Outcome
    waited: float = 0.0
    transfer: float = 0.0
    security: str = ""
    not_before: float = 0.0


class Job:
    """A claim and the results gathered for it. `open_groups` counts the groups still under way."""

    __slots__ = ("cancelled", "claim", "kept", "open_groups", "results", "taken")

    def __init__(self, claim: Claim, taken: float) -> None:
        self.claim = claim
        #: When work on this claim began, wall-clock seconds.
        self.taken = taken
        self.open_groups = 0
        self.results: dict[int, Result] = {}
        #: Recipients settled already under the same claim.
        self.kept: set[int] = set()
        #: Set when an operator took the message away: nothing more is begun for it.
        self.cancelled = False

    def renew(self, claim: Claim) -> None:
        """Go on under a newer lease of the same message."""
        self.claim = claim


@dataclass(frozen=True, slots=True)
class Group:
    """Recipients of one job that travel together. `entered` is when they began to wait, on the reactor's clock."""

    job: Job
    recipients: tuple[Pending, ...]
    entered: float

    def parcel(self) -> Parcel:
        """Return what a connection is to carry."""
        claim = self.job.claim
        return Parcel(claim.id, claim.envelope, claim.body, self.recipients)


class Owner(Protocol):
    """Who is told what became of a group. Each group that was opened is concluded or abandoned, once."""

    def concluded(self, group: Group, results: dict[int, Result]) -> None:
        """Take one result for each recipient of the group."""

    def abandoned(self, group: Group) -> None:
        """Take a group back that was not begun: its recipients stay as they are."""
