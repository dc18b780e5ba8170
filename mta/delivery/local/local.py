"""Delivers mail for local domains: expands aliases, then uses the mail store (LMTP) or the Maildirs under MAIL_DIR."""

from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from mta.blocking import RunBlocking
from mta.delivery.local.aliases import Expansion
from mta.delivery.local.forward import (
    AddressKey,
    Forwarding,
    alias_failure,
    alias_outcome,
    outside_key,
    plan_messages,
    user_key,
    write_messages,
)
from mta.delivery.local.interface import Expanded, LocalPart, Outcomes
from mta.delivery.local.mailboxes import Copy, Mailboxes, delivered_to_values, is_delivered_to, loop_failure
from mta.delivery.local.srs import SenderRewriting, SrsRefused
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import Claim, Pending
from mta.routing.route import Plan
from mta.smtp.address import Address, is_postmaster

#: Runs a blocking function in a thread; the Deferred fires with its result.
#: Returns the expansion of an alias, or None if the address is not an alias.
Expand = Callable[[Address], Expansion | None]


class LocalMail:
    """The LocalDelivery of mta.delivery.local.interface. `host` is the relay's name in the names of mail files."""

    def __init__(
        self,
        mail_dir: Path,
        host: str,
        *,
        run: RunBlocking,
        wall_clock: Callable[[], float],
        create: bool = False,
        store: Plan | None = None,
        forwarding: Forwarding | None = None,
    ) -> None:
        """Prepare. With `create` any user gets a Maildir; with a `store` all mail but that for aliases goes there."""
        self._mailboxes = Mailboxes(mail_dir, host, wall_clock, create=create)
        self._run = run
        self._store = store
        self._forwarding = forwarding

    @property
    def rewriting(self) -> SenderRewriting | None:
        """The rewriting of the senders of forwarded mail; None if they stay as they are."""
        return None if self._forwarding is None else self._forwarding.rewriting

    def accepts(self, address: Address) -> bool:
        """Whether mail for a local address can be delivered. Raises OSError if MAIL_DIR cannot be read.

        Blocks for a few reads of directories. All mail for a mail store is accepted, because the store knows its users.
        """
        if is_postmaster(address.local):
            return True
        expansion = self._expander()(address)
        if expansion is None:
            return self._may_have_mailbox(address)
        return not expansion.refused and self._leads_somewhere(expansion)

    def was_delivered_here(self, addresses: Iterable[Address], delivered_to: Container[bytes]) -> bool:
        """Whether a message was delivered to one of these addresses before, or to a user that its alias stands for.

        `delivered_to` holds the Delivered-To values of the message in lower case. A mail store checks them itself, so
        with a store only addresses that are aliases count.
        """
        expand = self._expander()
        followed: set[int] = set()
        for address in addresses:
            expansion = expand(address)
            if is_delivered_to(address, delivered_to) and (self._store is None or expansion is not None):
                return True
            # Many recipients may be the same alias, with a `+detail` or in another case; its users are checked once.
            if self._store is None and expansion is not None and id(expansion) not in followed:
                followed.add(id(expansion))
                if any(is_delivered_to(user, delivered_to) for user in expansion.users):
                    return True
        return False

    def deliver(self, claim: Claim, recipients: Sequence[Pending]) -> Sequence[LocalPart]:
        """Begin to deliver to recipients; each mailbox and each target of aliases gets one copy of the message."""
        sorting = _RecipientsByTask()
        expand = self._expander()
        for pending in recipients:
            expansion = None if claim.envelope.origin.is_by_alias else expand(pending.recipient.address)
            self._sort(sorting, pending, expansion)
        parts = [self._save(claim, copies) for copies in sorting.copies.values()]
        if sorting.stored and self._store is not None:
            parts.append(LocalPart(tuple(sorting.stored), self._store))
        if sorting.decided:
            decided = {pending.index: outcome for pending, outcome in sorting.decided}
            parts.append(LocalPart(tuple(pending for pending, _ in sorting.decided), succeed(decided)))
        if sorting.forwarded:
            forwarding = Deferred.fromCoroutine(self._forward(claim, sorting.forwarded, expand))
            parts.append(LocalPart(tuple(pending for pending, _ in sorting.forwarded), forwarding))
        return parts

    def _sort(self, sorting: "_RecipientsByTask", pending: Pending, expansion: Expansion | None) -> None:
        address = pending.recipient.address
        if expansion is None and self._store is not None:
            sorting.stored.append(pending)
        elif expansion is None:
            sorting.add_copy(Copy(pending, address))
        elif (outcome := _immediate_outcome(address, expansion)) is not None:
            sorting.decided.append((pending, outcome))
        elif (user := self._one_user(expansion)) is not None:
            # Mail for postmaster goes to postmaster's own mailbox if its alias names a mailbox that does not exist.
            sorting.add_copy(Copy(pending, user, address if is_postmaster(address.local) else None))
        else:
            sorting.forwarded.append((pending, expansion))

    def _save(self, claim: Claim, copies: Sequence[Copy]) -> LocalPart:
        saving: Deferred[Any] = self._run(lambda: self._mailboxes.save(claim, copies))
        return LocalPart(tuple(copy.pending for copy in copies), saving)

    def _one_user(self, expansion: Expansion) -> Address | None:
        """Return the only target of an expansion if it is a mailbox of this host: it needs no message of its own."""
        single = self._store is None and len(expansion.users) == 1 and not expansion.outside
        return expansion.users[0] if single else None

    def _expander(self) -> Expand:
        """Return an Expand for the current aliases that expands each alias once.

        `:fail:` is ignored for postmaster (RFC 5321 section 4.5.1).
        """
        forwarding = self._forwarding
        if forwarding is None:
            return lambda _: None
        aliases, is_local, rewriting = forwarding.aliases(), forwarding.is_local, forwarding.rewriting
        known: dict[tuple[str, str], Expansion] = {}

        def expand(address: Address) -> Expansion | None:
            domain = address.domain or "localhost"
            if rewriting is not None and (stands_for := _original(rewriting, address)) is not None:
                return stands_for
            key = aliases.key(address.local, domain)
            if key is None:
                return None
            expansion = known.get((key, domain))
            if expansion is None:
                expansion = known[key, domain] = aliases.expand_key(key, domain, is_local)
            return None if expansion.refused and is_postmaster(address.local) else expansion

        return expand

    def _may_have_mailbox(self, address: Address) -> bool:
        return self._store is not None or self._mailboxes.has(address.local)

    def _leads_somewhere(self, expansion: Expansion) -> bool:
        """Whether an alias has a target that may be reached, or is meant to drop its mail.

        An alias that cannot be expanded counts too, because the operator can fix it.
        """
        if expansion.error or expansion.outside or not expansion.users:
            return True
        return any(self._may_have_mailbox(user) for user in expansion.users)

    async def _forward(self, claim: Claim, aliases: Sequence[tuple[Pending, Expansion]], expand: Expand) -> Outcomes:
        """Write the messages that replace aliases; an alias that Delivered-To names already is a mail loop."""
        forwarding = self._forwarding
        assert forwarding is not None, "aliases need a Forwarding"
        try:
            delivered_to = await self._run(lambda: delivered_to_values(claim.body))
        except OSError as error:
            return {pending.index: alias_failure(pending, error) for pending, _ in aliases}
        outcomes: dict[int, Outcome | Expanded] = {
            pending.index: loop_failure(pending.recipient.address)
            for pending, _ in aliases
            if is_delivered_to(pending.recipient.address, delivered_to)
        }
        rest = [(pending, expansion) for pending, expansion in aliases if pending.index not in outcomes]
        reached = self._reached_directly(claim, expand, forwarding)
        rewriting = forwarding.rewriting
        sender = None if rewriting is None else rewriting.forwarded(claim.envelope.sender)
        plan = plan_messages(rest, reached, sender)
        ids = [forwarding.new_id() for _ in plan.messages]
        written = await self._run(lambda: write_messages(claim, plan, ids, forwarding))
        return outcomes | {
            pending.index: alias_outcome(pending, expansion, plan, written) for pending, expansion in rest
        }

    def _reached_directly(self, claim: Claim, expand: Expand, forwarding: Forwarding) -> frozenset[AddressKey]:
        """Return the keys of the addresses that get the message without forwarding, now or at another attempt."""
        reached: set[AddressKey] = set()
        for recipient in claim.envelope.recipients:
            address = recipient.address
            if address.domain and not forwarding.is_local(address.domain):
                reached.add(outside_key(address))
                continue
            expansion = expand(address)
            user = address if expansion is None else self._one_user(expansion)
            if user is not None:
                reached.add(user_key(user))
        return frozenset(reached)


def _original(rewriting: SenderRewriting, address: Address) -> Expansion | None:
    """Return the first sender of forwarded mail to which a report goes on; None if the address is no such sender."""
    try:
        sender = rewriting.original(address)
    except SrsRefused:
        return Expansion(refused=True)
    return None if sender is None else Expansion(outside=(sender,))


class _RecipientsByTask:
    """The recipients of a message, sorted by the work that they need."""

    def __init__(self) -> None:
        #: Recipients that the mail store handles.
        self.stored: list[Pending] = []
        self.decided: list[tuple[Pending, Outcome]] = []
        self.forwarded: list[tuple[Pending, Expansion]] = []
        #: The copies for Maildirs, by the local part in lower case without `+detail`: these may share a Maildir.
        self.copies: dict[str, list[Copy]] = {}

    def add_copy(self, copy: Copy) -> None:
        """Add a copy to those that may share its Maildir."""
        self.copies.setdefault(copy.mailbox.local.partition("+")[0].lower(), []).append(copy)


def _immediate_outcome(address: Address, expansion: Expansion) -> Outcome | None:
    """Return the outcome of an alias that can be told without any work, or None."""
    if expansion.error:
        return TryLater(f"{expansion.error}: fix it in ALIASES_FILE", status="4.2.4")
    if expansion.refused:
        return Failed(f"no mailbox {address} here", status="5.1.1")
    if not (expansion.users or expansion.outside):
        return Delivered(f"dropped: the alias {address} has no recipients", host="")
    return None
