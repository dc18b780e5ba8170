"""Makes the messages that replace recipients that are aliases: the same mail, addressed to the targets of the aliases.

Each target gets one copy of a message, however many of the message's recipients stand for that target. Otherwise a
thousand recipients `info+1`, `info+2` and so on, which are one alias, would turn one message into a thousand.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mta.delivery.local.aliases import Aliases, Expansion
from mta.delivery.local.interface import Expanded
from mta.delivery.local.srs import SenderRewriting
from mta.message.envelope import Envelope, Notify, Recipient
from mta.message.outcome import Delivered, Outcome, TryLater
from mta.queue.interface import BodyWriter, Claim, NewMail, Pending, QueueError, QueueFull, QueueId
from mta.smtp.address import Address

#: Octets of new bodies that one message may put into memory; further bodies are written to files.
MAX_IN_MEMORY = 4 * 1024 * 1024

#: An address in the form in which addresses are compared.
AddressKey = tuple[str, str]
#: A message, or the reason why it could not be written.
WriteResult = NewMail | OSError | QueueError


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The parts of the relay that aliases need: `aliases` returns the current ones, `is_local` recognises a domain."""

    aliases: Callable[[], Aliases]
    is_local: Callable[[str], bool]
    new_id: Callable[[], QueueId]
    #: The queue's: returns a writer for the body of a message that is to be added.
    writer: Callable[[QueueId], BodyWriter]
    #: The queue's: raises QueueFull if this number of further octets would leave too little room.
    require_room: Callable[[int], None]
    #: Rewrites the senders of mail that leaves; None if they stay as they are.
    rewriting: SenderRewriting | None = None


@dataclass(frozen=True, slots=True)
class AliasMessage:
    """A message to write in the place of an `alias`, for those of its targets that no earlier message reaches.

    `companions` are the indexes of the earlier messages that reach the other targets.
    """

    alias: Recipient
    recipients: dict[AddressKey, Recipient]
    companions: Sequence[int] = ()
    #: The sender in place of the message's own; None if that stays.
    sender: Address | None = None


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """The messages to write. `needs` has, by recipient index of each alias, the indexes of the messages it needs."""

    messages: Sequence[AliasMessage]
    needs: Mapping[int, Sequence[int]]


def user_key(user: Address) -> AddressKey:
    """Return the key of a local mailbox, which ignores case."""
    return (user.local.lower(), user.domain)


def outside_key(address: Address) -> AddressKey:
    """Return the key of an address on another host."""
    return (address.local, address.domain)


def plan_messages(
    aliases: Sequence[tuple[Pending, Expansion]],
    reached: Collection[AddressKey],
    outside_sender: Address | None = None,
) -> ForwardPlan:
    """Plan the messages that replace aliases, so that each target is a recipient of exactly one of them.

    The addresses in `reached` get the message anyway and are left out. Targets on other hosts get messages of their own
    if these need an `outside_sender`. The time is linear in the number of targets; recipients that share an expansion
    object cost one pass over it.
    """
    messages: list[AliasMessage] = []
    holders: dict[AddressKey, int] = {}
    needs: dict[int, Sequence[int]] = {}
    known: dict[tuple[int, Notify | None], Sequence[int]] = {}
    for pending, expansion in aliases:
        alias = replace(pending.recipient, notify=_without_success(pending.recipient))
        same = (id(expansion), alias.notify)
        if same not in known:
            targets = _targets(expansion) if outside_sender is None else _users(expansion)
            needed = _add_targets(messages, holders, AliasMessage(alias, {}), targets, reached)
            if outside_sender is not None and expansion.outside:
                message = AliasMessage(alias, {}, needed, outside_sender)
                needed = _add_targets(messages, holders, message, _outside(expansion), reached)
            known[same] = needed
        needs[pending.index] = known[same]
    return ForwardPlan(messages, needs)


def _add_targets(
    messages: list[AliasMessage],
    holders: dict[AddressKey, int],
    message: AliasMessage,
    targets: Iterable[tuple[AddressKey, Address]],
    reached: Collection[AddressKey],
) -> Sequence[int]:
    """Add a message for the targets of an alias that have none yet; return the indexes of the messages it needs."""
    alias, needed = message.alias, dict.fromkeys(message.companions)
    new: dict[AddressKey, Recipient] = {}
    for target, address in targets:
        if target in reached:
            continue
        holder = holders.get(target)
        if holder is None:
            new[target] = replace(alias, address=address)
        else:
            needed[holder] = None
            recipients = messages[holder].recipients
            known = recipients[target]
            recipients[target] = replace(known, notify=_merged(known.notify, alias.notify))
    if new:
        holders.update(dict.fromkeys(new, len(messages)))
        messages.append(replace(message, recipients=new, companions=tuple(needed)))
        needed[len(messages) - 1] = None
    return tuple(needed)


def write_messages(
    claim: Claim, plan: ForwardPlan, ids: Sequence[QueueId], forwarding: Forwarding
) -> list[WriteResult]:
    """Write the messages of a plan; return each, or the reason why it could not be written. Blocks.

    A message is not written if a companion could not be, because the whole alias will be tried again.
    """
    written: list[WriteResult] = []
    in_memory = 0
    for message, id in zip(plan.messages, ids, strict=True):
        failed = [written[other] for other in message.companions if not isinstance(written[other], NewMail)]
        written.append(failed[0] if failed else _try_to_write(claim, message, id, forwarding, in_memory))
        in_memory += claim.body.size
    return written


def write_message(claim: Claim, message: AliasMessage, id: QueueId, body: BodyWriter) -> NewMail:
    """Write a message; return it for the queue, to which it is not added yet. Blocks.

    `Delivered-To:` at the top names the alias, so that a mail loop is recognised. Raises
    OSError if the body cannot be read and QueueError if it cannot be written.
    """
    try:
        body.write(f"Delivered-To: {message.alias.address}\r\n".encode())
        for chunk in claim.body.chunks():
            body.write(chunk)
        return NewMail(id, _envelope(claim.envelope, message), body.finish())
    except BaseException:
        body.abort()
        raise


def _try_to_write(
    claim: Claim, message: AliasMessage, id: QueueId, forwarding: Forwarding, in_memory: int
) -> WriteResult:
    try:
        forwarding.require_room(claim.body.size)
        body = forwarding.writer(id)
        if in_memory + claim.body.size > MAX_IN_MEMORY:
            body.spill()
        return write_message(claim, message, id, body)
    except (OSError, QueueError) as error:
        return error


def alias_outcome(
    pending: Pending, expansion: Expansion, plan: ForwardPlan, written: Sequence[WriteResult]
) -> Outcome | Expanded:
    """Return the outcome of an alias, with the messages that must be added to the queue for it."""
    mails: list[NewMail] = []
    for need in plan.needs[pending.index]:
        mail = written[need]
        if not isinstance(mail, NewMail):
            return alias_failure(pending, mail)
        mails.append(mail)
    if not mails:
        return Delivered("not passed on: all recipients of the alias get the message already", host="")
    number = len(expansion.users) + len(expansion.outside)
    targets = "1 recipient" if number == 1 else f"{number} recipients"
    return Expanded(Delivered(f"passed on to {targets} as message {mails[-1].id}", host=""), tuple(mails))


def alias_failure(pending: Pending, error: OSError | QueueError) -> TryLater:
    """Return the outcome of an alias for which a message could not be written."""
    status = "4.3.1" if isinstance(error, QueueFull) else "4.3.0"
    return TryLater(f"cannot pass on mail for {pending.recipient.address}: {_cause(error)}", status=status)


def _cause(error: OSError | QueueError) -> str:
    """Return the text of an error without paths of this host."""
    return (error.strerror if isinstance(error, OSError) else str(error)) or "unknown error"


def _envelope(envelope: Envelope, message: AliasMessage) -> Envelope:
    return replace(
        envelope,
        sender=message.sender or envelope.sender,
        recipients=tuple(message.recipients.values()),
        origin=envelope.origin.by_alias(),
    )


def _targets(expansion: Expansion) -> Iterator[tuple[AddressKey, Address]]:
    yield from _users(expansion)
    yield from _outside(expansion)


def _users(expansion: Expansion) -> Iterator[tuple[AddressKey, Address]]:
    return ((user_key(user), user) for user in expansion.users)


def _outside(expansion: Expansion) -> Iterator[tuple[AddressKey, Address]]:
    return ((outside_key(address), address) for address in expansion.outside)


def _without_success(recipient: Recipient) -> Notify | None:
    """Return the reports to request for targets: success is reported for the alias only (RFC 3461 section 5.2.7)."""
    return None if recipient.notify is None else recipient.notify & ~Notify.SUCCESS


def _merged(one: Notify | None, other: Notify | None) -> Notify | None:
    """Return the union of two requests for reports. None, which means no request, includes all but success."""
    return None if one is None or other is None else one | other
