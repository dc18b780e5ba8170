"""Delivery of mail for our own domains: aliases first, then the mail store (LMTP) or the Maildirs under MAIL_DIR."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from mta.delivery.aliases import Aliases, Expansion
from mta.delivery.dispatch import Expanded
from mta.delivery.forward import forwarded
from mta.delivery.mailboxes import Mailboxes, is_marked, loop, was_here
from mta.message.envelope import Recipient
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import BodyWriter, Claim, Pending, QueueError, QueueId
from mta.routing.route import Plan
from mta.smtp.address import Address, is_postmaster

#: Does blocking work elsewhere and gives its result.
Run = Callable[[Callable[[], Any]], "Deferred[Any]"]


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What aliases need. `aliases` gives those of now, `is_local` says of a domain whether it is ours."""

    aliases: Callable[[], Aliases]
    is_local: Callable[[str], bool]
    new_id: Callable[[], QueueId]
    #: The queue's, for the body of a message about to be added.
    writer: Callable[[QueueId], BodyWriter]


class LocalMail:
    """The LocalDelivery of mta.delivery.dispatch. `host` is our name, `wall` tells the time."""

    def __init__(
        self,
        mail_dir: Path,
        host: str,
        *,
        run: Run,
        wall: Callable[[], float],
        create: bool = False,
        store: Plan | None = None,
        forwarding: Forwarding | None = None,
    ) -> None:
        """Prepare; `create` makes a Maildir for any user, and with a `store` all that is no alias goes there."""
        self._mailboxes = Mailboxes(mail_dir, host, wall, create=create)
        self._run = run
        self._store = store
        self._forwarding = forwarding

    def accepts(self, address: Address) -> bool:
        """Whether mail for an address of ours reaches someone. Raises OSError when MAIL_DIR cannot tell.

        Blocks for a few looks at the disk. A mail store knows its users itself, so whatever it is to get is taken.
        """
        if is_postmaster(address.local):
            return True
        expansion = self._expand(address)
        if expansion is None:
            return self._reaches(address)
        return not expansion.refused and self._is_useful(expansion)

    def was_here(self, addresses: Iterable[Address], marks: Container[bytes]) -> bool:
        """Whether one of these marks (values of Delivered-To in lower case) is that of an address, or of a user that
        its alias stands for.

        A mail store looks for marks itself; what comes back to an alias of ours is still a loop.
        """
        followed: set[tuple[str | None, str]] = set()
        for address in addresses:
            name = self._alias_name(address)
            if is_marked(address, marks) and (self._store is None or self._expand(address) is not None):
                return True
            # Many recipients may have one alias, by their `+detail` or their case; its users are looked at once.
            if self._store is None and name[0] is not None and name not in followed:
                followed.add(name)
                expansion = self._expand(address)
                if expansion is not None and any(is_marked(user, marks) for user in expansion.users):
                    return True
        return False

    def _alias_name(self, address: Address) -> tuple[str | None, str]:
        """Return the key of an address's alias, None without one, and the domain that its local names are in."""
        domain = address.domain or "localhost"
        forwarding = self._forwarding
        return (None if forwarding is None else forwarding.aliases().key(address.local, domain)), domain

    def deliver(self, claim: Claim, pending: Pending) -> "Deferred[Outcome | Expanded] | Plan":
        """Put one recipient's copy into its mailbox, or return the way to the mail store."""
        recipient = pending.recipient
        expansion = None if claim.envelope.origin.is_by_alias else self._expand(recipient.address)
        if expansion is not None:
            return self._decided(recipient, expansion) or self._pass_on(claim, pending, expansion)
        if self._store is not None:
            return self._store
        return self._run(lambda: self._mailboxes.save(claim, pending, recipient.address))

    def _expand(self, address: Address) -> Expansion | None:
        """Return who gets an alias's mail. Nobody can close postmaster."""
        forwarding = self._forwarding
        if forwarding is None:
            return None
        domain = address.domain or "localhost"
        expansion = forwarding.aliases().expand(address.local, domain, forwarding.is_local)
        return None if expansion is not None and expansion.refused and is_postmaster(address.local) else expansion

    def _reaches(self, address: Address) -> bool:
        return self._store is not None or self._mailboxes.has(address.local)

    def _is_useful(self, expansion: Expansion) -> bool:
        """Whether an alias leads to somebody, or to nobody because that was written."""
        if expansion.trouble or expansion.outside or not expansion.users:
            return True
        return any(self._reaches(user) for user in expansion.users)

    def _decided(self, recipient: Recipient, expansion: Expansion) -> "Deferred[Outcome | Expanded] | None":
        """Return what needs no work."""
        address = recipient.address
        if expansion.trouble:
            return succeed(TryLater(f"{expansion.trouble}: mend ALIASES_FILE", status="4.2.4"))
        if expansion.refused:
            return succeed(Failed(f"no mailbox {address} here", status="5.1.1"))
        if not (expansion.users or expansion.outside):
            return succeed(Delivered(f"dropped: the alias {address} stands for nobody", host=""))
        return None

    def _pass_on(self, claim: Claim, pending: Pending, expansion: Expansion) -> "Deferred[Outcome | Expanded]":
        forwarding, recipient = self._forwarding, pending.recipient
        assert forwarding is not None, "there are no aliases without it"
        if self._store is None and len(expansion.users) == 1 and not expansion.outside:
            user = expansion.users[0]
            return self._run(lambda: self._save_for(claim, pending, user))
        id = forwarding.new_id()
        return self._run(lambda: _forward(claim, recipient, expansion, id, forwarding))

    def _save_for(self, claim: Claim, pending: Pending, user: Address) -> Outcome:
        """Save for the one user that an alias stands for; where it leads nowhere postmaster has a mailbox."""
        outcome = self._mailboxes.save(claim, pending, user)
        address = pending.recipient.address
        if isinstance(outcome, Failed) and outcome.status == "5.1.1" and is_postmaster(address.local):
            return self._mailboxes.save(claim, pending, address)
        return outcome


def _forward(
    claim: Claim, recipient: Recipient, expansion: Expansion, id: QueueId, forwarding: Forwarding
) -> Outcome | Expanded:
    try:
        if was_here(claim.body, recipient.address):
            return loop(recipient.address)
        mail = forwarded(claim, recipient, expansion, id, forwarding.writer)
    except (OSError, QueueError) as error:
        return TryLater(f"cannot pass on mail for {recipient.address}: {_words(error)}", status="4.3.0")
    number = len(mail.envelope.recipients)
    what = "1 recipient" if number == 1 else f"{number} recipients"
    return Expanded(Delivered(f"passed on to {what} as message {id}", host=""), mail)


def _words(error: OSError | QueueError) -> str:
    """Return the cause without a path of ours."""
    return (error.strerror if isinstance(error, OSError) else str(error)) or "unknown error"
