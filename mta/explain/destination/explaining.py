"""The call by which the command and the page explain a destination."""

from dataclasses import replace

from mta.admin.state import RelayState
from mta.explain.destination.gathering import gather
from mta.explain.destination.page import DestinationPage
from mta.explain.destination.view import page_of
from mta.explain.present import PresentRelay


async def explain_destination(
    name: str, state: RelayState, present: PresentRelay | None, now: float, *, mistakes: tuple[str, ...] = ()
) -> DestinationPage:
    """Return the page about a domain, a host, a smarthost by its name, or the domain of an address.

    The arguments are those of `mta.explain.message.explaining.explain_message`. An address chooses the recipient for
    which rules are asked, if no mail for its domain waits. Without a resolver in `present` no MX host is told.

    Raises `mta.explain.destination.page.NoDestination`, whose text is for the operator, and StateError.
    """
    return page_of(replace(await gather(name, state, present, now), mistakes=mistakes))
