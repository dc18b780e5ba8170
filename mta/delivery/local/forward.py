"""The messages that take the place of recipients that are aliases: the same mail, to the targets of the aliases.

An address gets one copy of a message, however many of its recipients stand for that address: a thousand recipients
`info+1`, `info+2` and so on, which are one alias, would otherwise make a thousand messages of one.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mta.delivery.local.aliases import Aliases, Expansion
from mta.delivery.local.interface import Expanded
from mta.message.envelope import Envelope, Notify, Recipient
from mta.message.outcome import Delivered, Outcome, TryLater
from mta.queue.interface import BodyWriter, Claim, NewMail, Pending, QueueError, QueueFull, QueueId
from mta.smtp.address import Address

#: Octets of new messages that one message may put into memory; bodies beyond them go to files.
MOST_IN_MEMORY = 4 * 1024 * 1024

#: An address as it is compared.
Target = tuple[str, str]
#: A message, or why it could not be made.
Made = NewMail | OSError | QueueError


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The parts of the relay that aliases need. `aliases` gives the current ones, `is_local` tells a local domain."""

    aliases: Callable[[], Aliases]
    is_local: Callable[[str], bool]
    new_id: Callable[[], QueueId]
    #: The queue's, for the body of a message about to be added.
    writer: Callable[[QueueId], BodyWriter]
    #: The queue's: raises QueueFull when so many octets more would leave too little room.
    require_room: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Forward:
    """A message to be made: in the place of an `alias`, to those behind it that no other message reaches.

    `besides` are the indexes of the messages before it that reach the others behind the alias.
    """

    alias: Recipient
    recipients: dict[Target, Recipient]
    besides: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Folded:
    """The messages to be made, and by the index of each alias those that reach the recipients behind it."""

    forwards: Sequence[Forward]
    needs: Mapping[int, Sequence[int]]


def user_target(user: Address) -> Target:
    """Return a local mailbox as it is compared: without regard to case."""
    return (user.local.lower(), user.domain)


def outside_target(address: Address) -> Target:
    """Return an address of another host as it is compared."""
    return (address.local, address.domain)


def fold(asked: Sequence[tuple[Pending, Expansion]], reached: Collection[Target]) -> Folded:
    """Return the messages that take the place of aliases, so that each target is in one of them.

    `reached` gets the message anyway and is in none. Linear in the targets of expansions that are not the same object.
    """
    forwards: list[Forward] = []
    holders: dict[Target, int] = {}
    needs: dict[int, Sequence[int]] = {}
    known: dict[tuple[int, Notify | None], Sequence[int]] = {}
    for pending, expansion in asked:
        alias = replace(pending.recipient, notify=_notify(pending.recipient))
        same = (id(expansion), alias.notify)
        if same not in known:
            known[same] = _add(forwards, holders, alias, expansion, reached)
        needs[pending.index] = known[same]
    return Folded(forwards, needs)


def _add(
    forwards: list[Forward],
    holders: dict[Target, int],
    alias: Recipient,
    expansion: Expansion,
    reached: Collection[Target],
) -> Sequence[int]:
    """Have the targets of an alias reached; return the indexes of the messages that do."""
    needed: dict[int, None] = {}
    new: dict[Target, Recipient] = {}
    for target, address in _targets(expansion):
        if target in reached:
            continue
        holder = holders.get(target)
        if holder is None:
            new[target] = replace(alias, address=address)
        else:
            needed[holder] = None
            there = forwards[holder].recipients
            there[target] = replace(there[target], notify=_either(there[target].notify, alias.notify))
    if new:
        holders.update(dict.fromkeys(new, len(forwards)))
        forwards.append(Forward(alias, new, tuple(needed)))
        needed[len(forwards) - 1] = None
    return tuple(needed)


def forwarded(claim: Claim, forward: Forward, id: QueueId, body: BodyWriter) -> NewMail:
    """Return the message of a Forward, not yet added to the queue. Blocks.

    The sender stays. `Delivered-To:` on top names the alias, so that the message is known when it comes back. Raises
    OSError when the body cannot be read and QueueError when it cannot be written.
    """
    try:
        body.write(f"Delivered-To: {forward.alias.address}\r\n".encode())
        for chunk in claim.body.chunks():
            body.write(chunk)
        return NewMail(id, _envelope(claim.envelope, forward), body.finish())
    except BaseException:
        body.abort()
        raise


def make(claim: Claim, folded: Folded, ids: Sequence[QueueId], forwarding: Forwarding) -> list[Made]:
    """Write the messages of a fold, each or why it cannot be. Blocks.

    A message is not written where another that its own alias needs cannot be: the alias is tried again as a whole.
    """
    made: list[Made] = []
    in_memory = 0
    for forward, id in zip(folded.forwards, ids, strict=True):
        lacking = [made[other] for other in forward.besides if not isinstance(made[other], NewMail)]
        made.append(lacking[0] if lacking else _write(claim, forward, id, forwarding, in_memory))
        in_memory += claim.body.size
    return made


def _write(claim: Claim, forward: Forward, id: QueueId, forwarding: Forwarding, in_memory: int) -> Made:
    try:
        forwarding.require_room(claim.body.size)
        body = forwarding.writer(id)
        if in_memory + claim.body.size > MOST_IN_MEMORY:
            body.spill()
        return forwarded(claim, forward, id, body)
    except (OSError, QueueError) as error:
        return error


def passed_on(pending: Pending, expansion: Expansion, folded: Folded, made: Sequence[Made]) -> Outcome | Expanded:
    """Return the outcome of an alias, with the messages that have to be in the queue for it."""
    mails: list[NewMail] = []
    for need in folded.needs[pending.index]:
        mail = made[need]
        if not isinstance(mail, NewMail):
            return not_passed_on(pending, mail)
        mails.append(mail)
    if not mails:
        return Delivered("not passed on: the message goes to all that the alias stands for already", host="")
    number = len(expansion.users) + len(expansion.outside)
    what = "1 recipient" if number == 1 else f"{number} recipients"
    return Expanded(Delivered(f"passed on to {what} as message {mails[-1].id}", host=""), tuple(mails))


def not_passed_on(pending: Pending, error: OSError | QueueError) -> TryLater:
    """Return the outcome of an alias for which a message could not be made."""
    status = "4.3.1" if isinstance(error, QueueFull) else "4.3.0"
    return TryLater(f"cannot pass on mail for {pending.recipient.address}: {_words(error)}", status=status)


def _words(error: OSError | QueueError) -> str:
    """Return the cause without any path of this host."""
    return (error.strerror if isinstance(error, OSError) else str(error)) or "unknown error"


def _envelope(envelope: Envelope, forward: Forward) -> Envelope:
    return replace(envelope, recipients=tuple(forward.recipients.values()), origin=envelope.origin.by_alias())


def _targets(expansion: Expansion) -> Iterator[tuple[Target, Address]]:
    for user in expansion.users:
        yield user_target(user), user
    for address in expansion.outside:
        yield outside_target(address), address


def _notify(recipient: Recipient) -> Notify | None:
    """Success is reported once, for the alias: its targets are not the sender's to know (RFC 3461 section 5.2.7)."""
    return None if recipient.notify is None else recipient.notify & ~Notify.SUCCESS


def _either(one: Notify | None, other: Notify | None) -> Notify | None:
    """Return the reports that a sender wants by either request; None, for no request, stands for all but success."""
    return None if one is None or other is None else one | other
