"""The message that takes the place of a recipient who is an alias: the same mail, to whom the alias stands for."""

from collections.abc import Callable
from dataclasses import replace

from mta.delivery.aliases import Expansion
from mta.delivery.job import Result
from mta.message.body import FileBody
from mta.message.envelope import Envelope, Notify, Recipient
from mta.message.outcome import TryLater
from mta.queue.interface import BodyWriter, Claim, NewMail, QueueId


def forwarded(
    claim: Claim, recipient: Recipient, expansion: Expansion, id: QueueId, writer: Callable[[QueueId], BodyWriter]
) -> NewMail:
    """Return the message for the recipients of an expansion, not yet added to the queue. Blocks.

    The sender stays. `Delivered-To:` on top names the alias, so that the message is known when it comes back. Raises
    OSError when the body cannot be read and QueueError when it cannot be written.
    """
    body = writer(id)
    try:
        body.write(f"Delivered-To: {recipient.address}\r\n".encode())
        for chunk in claim.body.chunks():
            body.write(chunk)
        return NewMail(id, _envelope(claim.envelope, recipient, expansion), body.finish())
    except BaseException:
        body.abort()
        raise


def withdraw(results: dict[int, Result], why: str) -> bool:
    """Put the recipients off whose mail is in a file that cannot be added any more; return whether there are any."""
    lost = [index for index, result in results.items() if any(isinstance(mail.body, FileBody) for mail in result.mails)]
    for index in lost:
        results[index] = Result(TryLater(f"cannot pass on the mail: {why}", status="4.3.0"))
    return bool(lost)


def _envelope(envelope: Envelope, recipient: Recipient, expansion: Expansion) -> Envelope:
    others = (*expansion.users, *expansion.outside)
    recipients = tuple(replace(recipient, address=address, notify=_notify(recipient)) for address in others)
    return replace(envelope, recipients=recipients, origin=envelope.origin.by_alias())


def _notify(recipient: Recipient) -> Notify | None:
    """Success is reported once, for the alias: whom it stands for is not the sender's to know (RFC 3461, 5.2.7)."""
    return None if recipient.notify is None else recipient.notify & ~Notify.SUCCESS
