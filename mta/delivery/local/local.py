"""Delivery of mail for our own domains: aliases first, then the mail store (LMTP) or the Maildirs under MAIL_DIR."""

from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from mta.delivery.local.aliases import Expansion
from mta.delivery.local.forward import (
    Forwarding,
    Target,
    fold,
    make,
    not_passed_on,
    outside_target,
    passed_on,
    user_target,
)
from mta.delivery.local.interface import Expanded, LocalPart, Outcomes
from mta.delivery.local.mailboxes import Copy, Mailboxes, delivered_before, is_marked, loop
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import Claim, Pending
from mta.routing.route import Plan
from mta.smtp.address import Address, is_postmaster

#: Does blocking work elsewhere and gives its result.
Run = Callable[[Callable[[], Any]], "Deferred[Any]"]
#: Gives the expansion of an alias; None if the address is no alias.
Expand = Callable[[Address], Expansion | None]


class LocalMail:
    """The LocalDelivery of mta.delivery.dispatch. `host` is our name, `wall_clock` tells the time."""

    def __init__(
        self,
        mail_dir: Path,
        host: str,
        *,
        run: Run,
        wall_clock: Callable[[], float],
        create: bool = False,
        store: Plan | None = None,
        forwarding: Forwarding | None = None,
    ) -> None:
        """Prepare; `create` makes a Maildir for any user, and with a `store` all that is no alias goes there."""
        self._mailboxes = Mailboxes(mail_dir, host, wall_clock, create=create)
        self._run = run
        self._store = store
        self._forwarding = forwarding

    def accepts(self, address: Address) -> bool:
        """Whether mail for an address of ours reaches someone. Raises OSError when MAIL_DIR cannot tell.

        Blocks for a few looks at the disk. A mail store knows its users itself, so whatever it is to get is taken.
        """
        if is_postmaster(address.local):
            return True
        expansion = self._expander()(address)
        if expansion is None:
            return self._reaches(address)
        return not expansion.refused and self._is_useful(expansion)

    def was_here(self, addresses: Iterable[Address], marks: Container[bytes]) -> bool:
        """Whether one of these marks (values of Delivered-To in lower case) is that of an address, or of a user that
        its alias stands for.

        A mail store looks for marks itself; mail that comes back to an alias of this host is still a loop.
        """
        expand = self._expander()
        followed: set[int] = set()
        for address in addresses:
            expansion = expand(address)
            if is_marked(address, marks) and (self._store is None or expansion is not None):
                return True
            # Many recipients may have one alias, by their `+detail` or their case; its users are looked at once.
            if self._store is None and expansion is not None and id(expansion) not in followed:
                followed.add(id(expansion))
                if any(is_marked(user, marks) for user in expansion.users):
                    return True
        return False

    def deliver(self, claim: Claim, recipients: Sequence[Pending]) -> Sequence[LocalPart]:
        """Begin to deliver to recipients; a mailbox, and an address behind aliases, gets one copy of the message."""
        sorting = _Sorting()
        expand = self._expander()
        for pending in recipients:
            expansion = None if claim.envelope.origin.is_by_alias else expand(pending.recipient.address)
            self._sort(sorting, pending, expansion)
        parts = [self._save(claim, copies) for copies in sorting.boxes.values()]
        if sorting.stored and self._store is not None:
            parts.append(LocalPart(tuple(sorting.stored), self._store))
        if sorting.decided:
            decided = {pending.index: outcome for pending, outcome in sorting.decided}
            parts.append(LocalPart(tuple(pending for pending, _ in sorting.decided), succeed(decided)))
        if sorting.forwarded:
            passing = Deferred.fromCoroutine(self._pass_on(claim, sorting.forwarded, expand))
            parts.append(LocalPart(tuple(pending for pending, _ in sorting.forwarded), passing))
        return parts

    def _sort(self, sorting: "_Sorting", pending: Pending, expansion: Expansion | None) -> None:
        address = pending.recipient.address
        if expansion is None and self._store is not None:
            sorting.stored.append(pending)
        elif expansion is None:
            sorting.put(Copy(pending, address))
        elif (outcome := _decided(address, expansion)) is not None:
            sorting.decided.append((pending, outcome))
        elif (user := self._one_user(expansion)) is not None:
            # Where its alias leads nowhere postmaster has a mailbox.
            sorting.put(Copy(pending, user, address if is_postmaster(address.local) else None))
        else:
            sorting.forwarded.append((pending, expansion))

    def _save(self, claim: Claim, copies: Sequence[Copy]) -> LocalPart:
        saving = self._run(lambda: self._mailboxes.save(claim, copies))
        return LocalPart(tuple(copy.pending for copy in copies), saving)

    def _one_user(self, expansion: Expansion) -> Address | None:
        """Return the user of an expansion that is a mailbox here, to which no message of its own has to go."""
        single = self._store is None and len(expansion.users) == 1 and not expansion.outside
        return expansion.users[0] if single else None

    def _expander(self) -> Expand:
        """Return a function that gives the expansion of an alias, None for no alias; it follows each alias once.

        A `:fail:` of postmaster does not count (RFC 5321 section 4.5.1).
        """
        forwarding = self._forwarding
        if forwarding is None:
            return lambda _: None
        aliases, is_local = forwarding.aliases(), forwarding.is_local
        known: dict[tuple[str, str], Expansion] = {}

        def expand(address: Address) -> Expansion | None:
            domain = address.domain or "localhost"
            key = aliases.key(address.local, domain)
            if key is None:
                return None
            expansion = known.get((key, domain))
            if expansion is None:
                expansion = known[key, domain] = aliases.follow(key, domain, is_local)
            return None if expansion.refused and is_postmaster(address.local) else expansion

        return expand

    def _reaches(self, address: Address) -> bool:
        return self._store is not None or self._mailboxes.has(address.local)

    def _is_useful(self, expansion: Expansion) -> bool:
        """Whether an alias leads to somebody, or to nobody because that was written."""
        if expansion.trouble or expansion.outside or not expansion.users:
            return True
        return any(self._reaches(user) for user in expansion.users)

    async def _pass_on(self, claim: Claim, asked: Sequence[tuple[Pending, Expansion]], expand: Expand) -> Outcomes:
        """Make the messages that take the place of aliases. The marks on the message tell which of them is a loop."""
        forwarding = self._forwarding
        assert forwarding is not None, "there are no aliases without it"
        try:
            marks = await self._run(lambda: delivered_before(claim.body))
        except OSError as error:
            return {pending.index: not_passed_on(pending, error) for pending, _ in asked}
        outcomes: dict[int, Outcome | Expanded] = {
            pending.index: loop(pending.recipient.address)
            for pending, _ in asked
            if is_marked(pending.recipient.address, marks)
        }
        rest = [(pending, expansion) for pending, expansion in asked if pending.index not in outcomes]
        folded = fold(rest, self._reached(claim, expand, forwarding))
        ids = [forwarding.new_id() for _ in folded.forwards]
        made = await self._run(lambda: make(claim, folded, ids, forwarding))
        return outcomes | {pending.index: passed_on(pending, expansion, folded, made) for pending, expansion in rest}

    def _reached(self, claim: Claim, expand: Expand, forwarding: Forwarding) -> frozenset[Target]:
        """Return the addresses that get the message as recipients of its own, now or at another attempt."""
        reached: set[Target] = set()
        for recipient in claim.envelope.recipients:
            address = recipient.address
            if address.domain and not forwarding.is_local(address.domain):
                reached.add(outside_target(address))
                continue
            expansion = expand(address)
            user = address if expansion is None else self._one_user(expansion)
            if user is not None:
                reached.add(user_target(user))
        return frozenset(reached)


class _Sorting:
    """The recipients of a message by the work that they need."""

    def __init__(self) -> None:
        self.stored: list[Pending] = []
        self.decided: list[tuple[Pending, Outcome]] = []
        self.forwarded: list[tuple[Pending, Expansion]] = []
        #: By the local part without case and `+detail`: those that may share a Maildir.
        self.boxes: dict[str, list[Copy]] = {}

    def put(self, copy: Copy) -> None:
        """Put a copy to the others for its mailbox."""
        self.boxes.setdefault(copy.mailbox.local.partition("+")[0].lower(), []).append(copy)


def _decided(address: Address, expansion: Expansion) -> Outcome | None:
    """Return the outcome that needs no work."""
    if expansion.trouble:
        return TryLater(f"{expansion.trouble}: mend ALIASES_FILE", status="4.2.4")
    if expansion.refused:
        return Failed(f"no mailbox {address} here", status="5.1.1")
    if not (expansion.users or expansion.outside):
        return Delivered(f"dropped: the alias {address} stands for nobody", host="")
    return None
