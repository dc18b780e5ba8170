"""The rules for senders and recipients, and the check that mail for a domain can be routed.

The recipient rules have the order of the image that the relay replaces, so that its users get the replies they know.
"""

import re
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.fast_value import fast_value
from mta.inbound.sender_rule import SenderRule
from mta.message.outcome import Failed, TryLater
from mta.routing.choice import Fail, RouteChoice
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
TRY_LATER = reply(451, "4.4.3", "Temporary local problem, please try later")

# Characters with which mailers were made to route, pipe or write files: source routing by % and !, pipes, paths, shell.
_RESTRICTED_HERE = re.compile(r"^\.|[@%!/|`#&?]")
_RESTRICTED_BEYOND = re.compile(r"^[./|]|[@%!`#&?]|/\.\./")


@fast_value(frozen=True, slots=True)
class Client:
    """The client of a connection: its IP address, and whether it may send anywhere.

    It may if RELAY_NETWORKS or a local network trusts it, or after it has logged in as a `user`. `senders` is the rule
    of a user who may not use all senders.
    """

    address: str
    trusted: bool
    user: str = ""
    senders: SenderRule | None = None


class RelayPolicy:
    """Decides on senders and recipients.

    `is_local` tells whether mail for a domain, or for an address literal, is delivered here. `mailbox` tells whether a
    local address can get mail, and may raise OSError. `may_be_trusted` tells whether a look-up that is not complete may
    still show that a client is trusted; its argument is the client's IP address. `return_path` recognizes local
    addresses that take reports about forwarded mail: it returns why mail from a sender to one is refused, "" if it is
    taken, and None for any other address.
    """

    def __init__(
        self,
        relay_domains: DomainList,
        is_local: Callable[[str], bool],
        mailbox: Callable[[Address], bool],
        may_be_trusted: Callable[[str], bool] = lambda _: False,
        return_path: Callable[[Address, Address | None], str | None] | None = None,
    ) -> None:
        self._relay_domains = relay_domains
        self._is_local = is_local
        self._mailbox = mailbox
        self._may_be_trusted = may_be_trusted
        self._return_path = return_path

    def sender(self, client: Client, address: Address | None) -> Reply:
        """Return the reply to MAIL.

        Only the senders of a user with a list are verified, because the applications of a relay invent theirs.
        """
        if address is not None and address.is_literal and not client.trusted:
            return self._refuse_literal(client)
        if client.senders is None:
            return SENDER_OK
        return client.senders.refusal_of_sender(address) or SENDER_OK

    def recipient(self, client: Client, address: Address, sender: Address | None) -> Reply | None:
        """Return the reply to RCPT, or None if it depends on the routing of the domain.

        The routing decides on a stranger's recipient in a domain of RELAY_DOMAINS, and on a trusted client's address
        literal.
        """
        if address.is_literal and not client.trusted:
            return self._refuse_literal(client)
        local = self._is_local(address.domain)
        if local and self._return_path is not None and (refusal := self._return_path(address, sender)) is not None:
            return reply(550, "5.7.1", f"<{address}>: {refusal}") if refusal else RECIPIENT_OK
        if (_RESTRICTED_HERE if local else _RESTRICTED_BEYOND).search(address.local):
            return RESTRICTED
        if local:
            return self._local_recipient(address)
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

    def _refuse_literal(self, client: Client) -> Reply:
        return UNDECIDED if self._may_be_trusted(client.address) else LITERAL

    def _local_recipient(self, address: Address) -> Reply:
        try:
            known = is_postmaster(address.local) or self._mailbox(address)
        except OSError:
            # A 550 would bounce mail for a valid user; a 250 might accept mail that cannot be delivered.
            return MAILBOXES_AWAY
        return RECIPIENT_OK if known else UNKNOWN_USER


def not_permitted(client: str, domain: str) -> Reply:
    """Return the refusal of a stranger, which names the settings that would allow the recipient."""
    return reply(
        550,
        "5.7.1",
        f"relay not permitted: {client} is not in RELAY_NETWORKS and {domain} is not in RELAY_DOMAINS",
    )


class DomainCheck:
    """Checks that mail for a domain can be routed.

    A stranger's mail to a domain that does not exist gets a 550 now, because a later report would go to the sender that
    the stranger named. The router caches its answers for the lifetime of the DNS records.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def __call__(self, domain: str, done: Callable[[Reply], None], choice: RouteChoice | None = None) -> None:
        """Call `done` with the reply to RCPT, before returning if the routing is cached.

        `choice` is that of a router rule, if one applies to the recipient.
        """
        routing = self._router.cached(domain, choice)
        if routing is not None:
            done(_reply_to(routing))
            return
        Deferred.fromCoroutine(self._resolve(domain, choice)).addCallbacks(_reply_to, _failed).addCallback(done)

    async def _resolve(self, domain: str, choice: RouteChoice | None) -> Routing:
        return await self._router.resolve(domain, choice)


def _reply_to(routing: Routing) -> Reply:
    if isinstance(routing, Failed):
        return reply(550, routing.status, f"Unrouteable address: {routing.text}")
    if isinstance(routing, Fail):
        return reply(550, routing.status, routing.text)
    return TRY_LATER if isinstance(routing, TryLater) else RECIPIENT_OK


def _failed(_failure: Failure) -> Reply:
    return TRY_LATER
