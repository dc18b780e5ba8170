"""From a request to what the SMTP client says, and from what the server answered to outcomes. Pure."""

from collections.abc import Callable, Sequence

from mta.delivery.remote.interface import DeliveryRequest, ExcessRecipients
from mta.delivery.replies.throttle_table import LimitKind
from mta.delivery.replies.throttling import limit_of, throttling
from mta.fast_value import fast_value
from mta.message.body import Body, head
from mta.message.envelope import BodyType, Envelope, Notify, Recipient
from mta.message.headers import header_end, needs_utf8
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import Pending
from mta.smtp.client.dialogue import FailureKind
from mta.smtp.client.handshake import Offer
from mta.smtp.client.transaction import OutgoingMessage, RecipientReply
from mta.smtp.parameters import MAX_ENVID, MAX_ORCPT, encode_original, encode_xtext, without_utf8
from mta.smtp.replies import Reply

#: A body up to this size goes out in one write, and by BDAT before anything of its transaction is answered.
ONE_WRITE_BYTES = 256 * 1024

# More than the largest header that is taken in, with its trace fields.
_HEADER_OCTETS = 2 * 1024 * 1024
# RFC 5321 section 4.5.3.1.10 allows 452, and of old servers 552. Others say the same with another 5yz code.
_TOO_MANY_RECIPIENTS = 552
_NOTIFY = ((Notify.SUCCESS, "SUCCESS"), (Notify.FAILURE, "FAILURE"), (Notify.DELAY, "DELAY"))


@fast_value(frozen=True, slots=True)
class PreparedTransaction:
    """A message ready to send, and the outcomes that were decided without asking the server."""

    message: OutgoingMessage | None
    indexes: Sequence[int]
    outcomes: dict[int, Outcome]


def prepare_transaction(offer: Offer, request: DeliveryRequest, host: str) -> PreparedTransaction:
    """Write the letter for a server with this offer. A None letter means that all outcomes are decided."""
    try:
        refusal = _impossible(offer, request, host)
        body = _body_at_once(request) if refusal is None else None
    except OSError as error:
        unread = TryLater(f"cannot read the message body: {error.strerror or error}", status="4.3.0")
        return PreparedTransaction(None, (), {pending.index: unread for pending in request.recipients})
    if refusal is not None:
        return PreparedTransaction(None, (), {pending.index: refusal for pending in request.recipients})
    outcomes: dict[int, Outcome] = {}
    going: Sequence[Pending] = request.recipients
    if not offer.smtputf8:
        for pending in going:
            if pending.recipient.address.needs_utf8:
                outcomes[pending.index] = _needs_utf8(host, f"the address <{pending.recipient.address}>")
        going = [pending for pending in going if pending.index not in outcomes] if outcomes else going
    if not going:
        return PreparedTransaction(None, (), outcomes)
    utf8 = _uses_utf8(offer, request.envelope, going)
    # What BDAT announces must be what it brings, whatever the queue believed.
    size = request.body.size if body is None else len(body)
    message = OutgoingMessage(
        _mail(offer, request.envelope, size, utf8=utf8),
        [_rcpt(offer, pending.recipient, utf8=utf8) for pending in going],
        size,
        body,
    )
    return PreparedTransaction(message, [pending.index for pending in going], outcomes)


#: Returns advice for an operator about a 5yz reply that is about this relay, and "" for one that is final.
Advise = Callable[[Reply], str]


def no_advice(_: Reply) -> str:
    """Take each 5yz reply as final for the recipient."""
    return ""


def outcomes(
    prepared: PreparedTransaction,
    replies: Sequence[RecipientReply],
    host: str,
    *,
    dsn: bool,
    advise: Advise = no_advice,
) -> dict[int, Outcome]:
    """Return an outcome for each recipient of the request; `dsn` when the server takes over the success reports."""
    result = prepared.outcomes.copy()
    for index, reply in zip(prepared.indexes, replies, strict=True):
        result[index] = outcome(reply, host, dsn=dsn, advise=advise)
    return result


def outcome(reply: RecipientReply, host: str, *, dsn: bool = False, advise: Advise = no_advice) -> Outcome:
    """Return the meaning of a reply for the mail."""
    if not isinstance(reply, Reply):
        # A host is named only if the host was the reason, because only then another host may do better.
        return TryLater(reply.text, "" if reply.cause is FailureKind.OURS else host, reply.status, reply=reply.reply)
    kind = reply.code // 100
    if kind == 2:
        return Delivered(str(reply), host, reply.status or "2.0.0", reports_success=dsn)
    if kind == 4 or limit_of(reply) is not None:
        return TryLater(str(reply), host, f"4{reply.status[1:]}" if reply.status else "4.0.0", reply=reply)
    if advice := advise(reply):
        status = f"4{reply.status[1:]}" if reply.status else "4.7.0"
        return TryLater(f"{reply}; {advice}", host, status, advice, reply=reply)
    return Failed(str(reply), host, reply.status or "5.0.0")


def excess(
    prepared: PreparedTransaction, replies: Sequence[RecipientReply], refused: Sequence[int], accepted: int
) -> ExcessRecipients | None:
    """Return the recipients that RCPT refused because there were too many of them; None if there are not any.

    `refused` holds the places of all that RCPT refused. A server that `accepted` not even one has no such limit.
    """
    if not (refused and accepted):
        return None
    beyond = frozenset(prepared.indexes[place] for place in refused if _beyond_limit(replies[place]))
    return ExcessRecipients(beyond, accepted) if beyond else None


def _beyond_limit(reply: RecipientReply) -> bool:
    """Whether a reply to RCPT says that the transaction has as many recipients as the server takes."""
    if not isinstance(reply, Reply):
        return False
    code = reply.code if reply.temporary else _TOO_MANY_RECIPIENTS
    limit = throttling(code, reply.status, reply.text)
    return limit is not None and limit.kind is LimitKind.RECIPIENTS


def _impossible(offer: Offer, request: DeliveryRequest, host: str) -> Failed | None:
    """Return why this server can never take this message, for any recipient. Raises OSError.

    Many clients say SMTPUTF8 with every message, so the need for it is judged by the content. Only the header of the
    message itself counts: UTF-8 in the header of a part or of an enclosed message travels as any 8-bit body does.
    """
    envelope, size = request.envelope, request.body.size
    if offer.size and size > offer.size:
        return Failed(f"the message has {size} octets and the limit offered by SIZE is {offer.size}", host, "5.3.4")
    if offer.smtputf8:
        return None
    if envelope.sender is not None and envelope.sender.needs_utf8:
        return _needs_utf8(host, f"the sender <{envelope.sender}>")
    if envelope.smtputf8 and needs_utf8(_header(request.body)):
        return _needs_utf8(host, "the header of the message, which has letters outside ASCII,")
    return None


def _header(body: Body) -> bytes:
    content = head(body, _HEADER_OCTETS)
    return content[: header_end(content, ended=True)]


def _needs_utf8(host: str, what: str) -> Failed:
    return Failed(f"{what} needs SMTPUTF8, which is not offered", host, "5.6.7")


def _uses_utf8(offer: Offer, envelope: Envelope, going: Sequence[Pending]) -> bool:
    if not offer.smtputf8:
        return False
    if envelope.smtputf8 or (envelope.sender is not None and envelope.sender.needs_utf8):
        return True
    return any(pending.recipient.address.needs_utf8 for pending in going)


def _body_at_once(request: DeliveryRequest) -> bytes | None:
    return b"".join(request.body.chunks()) if request.body.size <= ONE_WRITE_BYTES else None


def _mail(offer: Offer, envelope: Envelope, size: int, *, utf8: bool) -> str:
    command = f"MAIL FROM:<{envelope.sender}>" if envelope.sender is not None else "MAIL FROM:<>"
    if offer.size is not None:
        command += f" SIZE={size}"
    # Where 8BITMIME is not offered the body goes as it is, as the image we replace sends it: RFC 6152 section 3 wants
    # a conversion, which would break signatures, and the servers that neither offer it nor take 8 bits have died out.
    if envelope.body_type is BodyType.EIGHT_BIT and offer.eight_bit:
        command += " BODY=8BITMIME"
    if utf8:
        command += " SMTPUTF8"
    if offer.dsn:
        if envelope.ret is not None:
            command += f" RET={envelope.ret.value}"
        if envelope.envid is not None and len(envid := encode_xtext(envelope.envid)) <= MAX_ENVID:
            command += f" ENVID={envid}"
    return command


def _rcpt(offer: Offer, recipient: Recipient, *, utf8: bool) -> str:
    command = f"RCPT TO:<{recipient.address}>"
    if offer.dsn:
        if recipient.notify is not None:
            words = ",".join(word for flag, word in _NOTIFY if flag in recipient.notify)
            command += f" NOTIFY={words or 'NEVER'}"
        if recipient.original is not None and len(original := _orcpt(recipient.original, utf8=utf8)) <= MAX_ORCPT:
            command += f" ORCPT={original}"
    return command


def _orcpt(original: str, *, utf8: bool) -> str:
    return encode_original(original if utf8 else without_utf8(original), utf8=utf8)
