"""Whether a domain that we relay to for strangers can be mailed: better a 550 now than a report to nobody later."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.message.outcome import Failed, TryLater
from mta.routing.route import Router, Routing
from mta.smtp.replies import Reply, reply
from mta.smtp.server.canned_replies import RECIPIENT_OK

UNKNOWN_YET = reply(451, "4.4.3", "Temporary local problem, please try later")


class DomainCheck:
    """Asks the router; the same question is answered from its memory for as long as the DNS allows."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def __call__(self, domain: str, done: Callable[[Reply], None]) -> None:
        """Call `done` with the reply to RCPT, at once when the routing is known."""
        known = self._router.known(domain)
        if known is not None:
            done(_verdict(known))
            return
        Deferred.fromCoroutine(self._find(domain)).addCallbacks(_verdict, _unknown).addCallback(done)

    async def _find(self, domain: str) -> Routing:
        return await self._router.find(domain)


def _verdict(routing: Routing) -> Reply:
    if isinstance(routing, Failed):
        return reply(550, routing.status, f"Unrouteable address: {routing.text}")
    return UNKNOWN_YET if isinstance(routing, TryLater) else RECIPIENT_OK


def _unknown(_failure: Failure) -> Reply:
    return UNKNOWN_YET
