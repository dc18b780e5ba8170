"""The choice of an operator's rule about the way of a message that is not for a local domain."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

# `route` has the routings, of which `Discard` is one.
if TYPE_CHECKING:
    from mta.routing.route import Smarthost


@dataclass(frozen=True, slots=True)
class MxOf:
    """By the MX of the recipient's domain, or of another one if `domain` names it, even if there is a smarthost."""

    domain: str | None = None


@dataclass(frozen=True, slots=True)
class ViaSmarthost:
    """By the hosts of a smarthost, which a rule names or lists."""

    smarthost: "Smarthost"


@dataclass(frozen=True, slots=True)
class Discard:
    """To no host: the recipient is done without a delivery and without a report."""


@dataclass(frozen=True, slots=True)
class Fail:
    """To no host: the recipient has failed for good, with a reason for the report and a status of RFC 3463."""

    text: str
    status: str = "5.7.1"


RouteChoice: TypeAlias = MxOf | ViaSmarthost | Discard | Fail
