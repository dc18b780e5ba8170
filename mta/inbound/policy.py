"""Who may talk, to whom, how much: verdicts on facts, with no socket and no clock.

The order of the recipient rules is the one of the image we replace, so that its users meet the replies they know.
"""

import re
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.fast_value import fast_value
from mta.message.outcome import Failed, TryLater
from mta.routing.route import Router, Routing
from mta.smtp.address import Address, is_postmaster
from mta.smtp.domains import DomainList
from mta.smtp.replies import Reply, reply
from mta.smtp.server.canned_replies import RECIPIENT_OK, SENDER_OK

LITERAL = reply(501, "5.1.3", "domain literals not allowed")
UNDECIDED = reply(
    451, "4.4.3", "a host name in RELAY_NETWORKS that may be yours cannot be looked up now, please try again later"
)
RESTRICTED = reply(550, "5.1.3", "restricted characters in address")
MAILBOXES_AWAY = reply(451, "4.3.0", "the mailboxes here cannot be looked at now, please try later")
UNKNOWN_USER = reply(550, "5.1.1", "no such user here")
UNKNOWN_YET = reply(451, "4.4.3", "Temporary local problem, please try later")

# Characters that made mailers route, pipe or write files: source routing by % and !, pipes, paths, shell words.
_RESTRICTED_HERE = re.compile(r"^\.|[@%!/|`#&?]")
_RESTRICTED_BEYOND = re.compile(r"^[./|]|[@%!`#&?]|/\.\./")


@fast_value(frozen=True, slots=True)
class Client:
    """Who is on the other end: its IP address, and whether that is one of our own networks."""

    address: str
    trusted: bool


class RelayPolicy:
    """Decides on recipients. `mailbox` (which may raise OSError) tells whether a local address can get mail.

    `is_local` tells whether mail for a domain, or for an address literal, stays here. `may_be_trusted` tells whether a
    client that is not trusted may become so by a look-up; its argument is the client's IP address.
    """

    def __init__(
        self,
        relay_domains: DomainList,
        is_local: Callable[[str], bool],
        mailbox: Callable[[Address], bool],
        may_be_trusted: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._relay_domains = relay_domains
        self._is_local = is_local
        self._mailbox = mailbox
        self._may_be_trusted = may_be_trusted

    def sender(self, client: Client, address: Address | None) -> Reply:
        """Return the reply to MAIL. Nothing is verified: a relay's own applications invent senders."""
        if address is not None and address.is_literal and not client.trusted:
            return self._literal(client)
        return SENDER_OK

    def recipient(self, client: Client, address: Address) -> Reply | None:
        """Return the reply to RCPT; None when the routing of the domain has the last word.

        That is so for a stranger's recipient in a domain of RELAY_DOMAINS, and for a trusted client's address literal.
        """
        if address.is_literal and not client.trusted:
            return self._literal(client)
        local = self._is_local(address.domain)
        if (_RESTRICTED_HERE if local else _RESTRICTED_BEYOND).search(address.local):
            return RESTRICTED
        if local:
            return self._at_home(address)
        if address.is_literal:
            return None
        relayed = self._relay_domains.matches(address.domain)
        if client.trusted or (relayed and is_postmaster(address.local)):
            return RECIPIENT_OK
        if relayed:
            return None
        # A 550 would be final although the client may turn out to be trusted.
        undecided = self._may_be_trusted(client.address)
        return UNDECIDED if undecided else not_permitted(client.address, address.domain)

    def _literal(self, client: Client) -> Reply:
        return UNDECIDED if self._may_be_trusted(client.address) else LITERAL

    def _at_home(self, address: Address) -> Reply:
        try:
            known = is_postmaster(address.local) or self._mailbox(address)
        except OSError:
            # Neither lose a user's mail for good nor take what nobody may be there to get.
            return MAILBOXES_AWAY
        return RECIPIENT_OK if known else UNKNOWN_USER


def not_permitted(client: str, domain: str) -> Reply:
    """Return the refusal of a stranger, which names what an operator would have to set."""
    return reply(
        550,
        "5.7.1",
        f"relay not permitted: {client} is not in RELAY_NETWORKS and {domain} is not in RELAY_DOMAINS",
    )


class DomainCheck:
    """Asks the router; the same question is answered from its memory for as long as the DNS allows."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def __call__(self, domain: str, done: Callable[[Reply], None]) -> None:
        """Call `done` with the reply to RCPT, at once when the routing is known."""
        known = self._router.cached(domain)
        if known is not None:
            done(_verdict(known))
            return
        Deferred.fromCoroutine(self._find(domain)).addCallbacks(_verdict, _unknown).addCallback(done)

    async def _find(self, domain: str) -> Routing:
        return await self._router.resolve(domain)


def _verdict(routing: Routing) -> Reply:
    if isinstance(routing, Failed):
        return reply(550, routing.status, f"Unrouteable address: {routing.text}")
    return UNKNOWN_YET if isinstance(routing, TryLater) else RECIPIENT_OK


def _unknown(_failure: Failure) -> Reply:
    return UNKNOWN_YET
