"""Turns a request into SMTP commands, and the server's replies into outcomes. Pure."""

from collections.abc import Callable, Sequence

from mta.delivery.remote.interface import DeliveryRequest, ExcessRecipients
from mta.delivery.replies.hints import error_kind
from mta.delivery.replies.throttle_table import LimitKind
from mta.delivery.replies.throttling import limit_of, throttling
from mta.fast_value import fast_value
from mta.message.body import Body, head
from mta.message.envelope import BodyType, Envelope, Notify, Recipient, TlsDemand
from mta.message.headers import header_end, needs_utf8
from mta.message.outcome import Delivered, ErrorKind, Failed, Outcome, TryLater
from mta.queue.interface import Pending
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.smtp.client.handshake import Offer
from mta.smtp.client.transaction import OutgoingMessage, RecipientReply
from mta.smtp.parameters import MAX_ENVID, MAX_ORCPT, encode_original, encode_xtext, without_utf8
from mta.smtp.replies import Reply

#: A body of up to this many octets is sent in one write; with BDAT before the first reply of its transaction arrives.
ONE_WRITE_BYTES = 256 * 1024

# More than the largest header that the relay accepts, with the trace fields.
_MAX_HEADER = 2 * 1024 * 1024
# RFC 5321 section 4.5.3.1.10 specifies 452, and 552 from old servers; other 5yz codes are read like 552.
_TOO_MANY_RECIPIENTS = 552
_REQUIRED, _EIGHT_BIT = TlsDemand.REQUIRED, BodyType.EIGHT_BIT
#: The status of a host without REQUIRETLS for a message that must have it (RFC 8689 section 4.2.1), in class 4 because
#: another host may have it.
NO_REQUIRETLS = "4.7.30"
_NOTIFY = ((Notify.SUCCESS, "SUCCESS"), (Notify.FAILURE, "FAILURE"), (Notify.DELAY, "DELAY"))


@fast_value(frozen=True, slots=True)
class PreparedTransaction:
    """A message ready to send, and the outcomes that were decided without asking the server."""

    message: OutgoingMessage | None
    indexes: Sequence[int]
    outcomes: dict[int, Outcome]


def prepare_transaction(offer: Offer, request: DeliveryRequest, host: str) -> PreparedTransaction:
    """Prepare the commands for a server with this offer. The message is None if all outcomes are decided already."""
    try:
        refusal = _impossible_for(offer, request, host)
        body = _small_body(request) if refusal is None else None
    except OSError as error:
        unread = TryLater(f"cannot read the message body: {error.strerror or error}", status="4.3.0")
        return PreparedTransaction(None, (), {pending.index: unread for pending in request.recipients})
    if refusal is not None:
        return PreparedTransaction(None, (), {pending.index: refusal for pending in request.recipients})
    outcomes: dict[int, Outcome] = {}
    remaining: Sequence[Pending] = request.recipients
    if not offer.smtputf8:
        for pending in remaining:
            if pending.recipient.address.needs_utf8:
                outcomes[pending.index] = _needs_utf8(host, f"the address <{pending.recipient.address}>")
        remaining = [pending for pending in remaining if pending.index not in outcomes] if outcomes else remaining
    if not remaining:
        return PreparedTransaction(None, (), outcomes)
    utf8 = _uses_utf8(offer, request.envelope, remaining)
    # BDAT must announce exactly the octets that follow, so the size is that of the body as it was read.
    size = request.body.size if body is None else len(body)
    message = OutgoingMessage(
        _mail(offer, request.envelope, size, utf8=utf8),
        [_rcpt(offer, pending.recipient, utf8=utf8) for pending in remaining],
        size,
        body,
    )
    return PreparedTransaction(message, [pending.index for pending in remaining], outcomes)


#: Returns advice for an operator if a 5yz reply is about this relay, "" if it is final for the recipient.
Advise = Callable[[Reply], str]


def no_advice(_: Reply) -> str:
    """Return "": each 5yz reply is final for the recipient."""
    return ""


def outcomes(
    prepared: PreparedTransaction,
    replies: Sequence[RecipientReply],
    host: str,
    *,
    dsn: bool,
    advise: Advise = no_advice,
) -> dict[int, Outcome]:
    """Return an outcome for each recipient of the request; `dsn` is true if the server sends the success reports."""
    result = prepared.outcomes.copy()
    for index, reply in zip(prepared.indexes, replies, strict=True):
        result[index] = outcome(reply, host, dsn=dsn, advise=advise)
    return result


def outcome(reply: RecipientReply, host: str, *, dsn: bool = False, advise: Advise = no_advice) -> Outcome:
    """Return the outcome for a recipient that got this reply, or for which the session failed."""
    if isinstance(reply, SessionFailure):
        failure = reply
        # The outcome names the host only if the host is the reason, because only then another host may do better.
        host = "" if failure.kind is FailureKind.LOCAL else host
        return TryLater(failure.text, host, failure.status, reply=failure.reply, kind=error_kind(failure.kind))
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
    """Return the recipients that were refused at RCPT because there were too many of them; None if there are not any.

    `refused` holds the positions of all recipients that were refused at RCPT. A server that `accepted` no recipient
    has not reached such a limit.
    """
    if not (refused and accepted):
        return None
    beyond = frozenset(prepared.indexes[position] for position in refused if _is_recipient_limit(replies[position]))
    return ExcessRecipients(beyond, accepted) if beyond else None


def _is_recipient_limit(reply: RecipientReply) -> bool:
    """Whether a reply to RCPT says that the transaction already has as many recipients as the server accepts."""
    if isinstance(reply, SessionFailure):
        return False
    code = reply.code if reply.temporary else _TOO_MANY_RECIPIENTS
    limit = throttling(code, reply.status, reply.text)
    return limit is not None and limit.kind is LimitKind.RECIPIENTS


def unprotected_outcomes(offer: Offer, request: DeliveryRequest, host: str, *, proven: bool) -> dict[int, Outcome]:
    """Return the outcomes of a message with REQUIRETLS if this session must not have it; empty if it may (RFC 8689).

    `proven` says that the host has proved its name in TLS.
    """
    if not proven:
        text = "the sender demands a proof of the host's name in TLS (REQUIRETLS)"
        refusal = TryLater(text, host, "4.7.10", kind=ErrorKind.TLS)
    elif not offer.requiretls:
        text = "REQUIRETLS is not offered, and the sender demands it"
        refusal = TryLater(text, host, NO_REQUIRETLS, kind=ErrorKind.TLS)
    else:
        return {}
    return {pending.index: refusal for pending in request.recipients}


def _impossible_for(offer: Offer, request: DeliveryRequest, host: str) -> Failed | None:
    """Return the failure of a message that this server can accept for no recipient, or None. Raises OSError.

    Many clients declare SMTPUTF8 with every message, so the content decides whether it is needed. Only the header of
    the message itself counts: UTF-8 in the header of a part or of an enclosed message is sent like any 8-bit body.
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
    content = head(body, _MAX_HEADER)
    return content[: header_end(content, ended=True)]


def _needs_utf8(host: str, subject: str) -> Failed:
    return Failed(f"{subject} needs SMTPUTF8, which is not offered", host, "5.6.7")


def _uses_utf8(offer: Offer, envelope: Envelope, remaining: Sequence[Pending]) -> bool:
    if not offer.smtputf8:
        return False
    if envelope.smtputf8 or (envelope.sender is not None and envelope.sender.needs_utf8):
        return True
    return any(pending.recipient.address.needs_utf8 for pending in remaining)


def _small_body(request: DeliveryRequest) -> bytes | None:
    return b"".join(request.body.chunks()) if request.body.size <= ONE_WRITE_BYTES else None


def _mail(offer: Offer, envelope: Envelope, size: int, *, utf8: bool) -> str:
    command = f"MAIL FROM:<{envelope.sender.text}>" if envelope.sender is not None else "MAIL FROM:<>"
    if offer.size is not None:
        command += f" SIZE={size}"
    # Without 8BITMIME in the offer the body is sent unchanged, as the image that the relay replaces does. RFC 6152
    # section 3 demands a conversion, but that would break signatures, and all servers in use accept 8-bit bodies.
    if envelope.body_type is _EIGHT_BIT and offer.eight_bit:
        command += " BODY=8BITMIME"
    if utf8:
        command += " SMTPUTF8"
    if offer.requiretls and envelope.tls_demand is _REQUIRED:
        command += " REQUIRETLS"
    if offer.dsn:
        if envelope.ret is not None:
            command += f" RET={envelope.ret.value}"
        if envelope.envid is not None and len(envid := encode_xtext(envelope.envid)) <= MAX_ENVID:
            command += f" ENVID={envid}"
    return command


def _rcpt(offer: Offer, recipient: Recipient, *, utf8: bool) -> str:
    command = f"RCPT TO:<{recipient.address.text}>"
    if offer.dsn:
        if recipient.notify is not None:
            words = ",".join(word for flag, word in _NOTIFY if flag in recipient.notify)
            command += f" NOTIFY={words or 'NEVER'}"
        if recipient.original is not None and len(original := _orcpt(recipient.original, utf8=utf8)) <= MAX_ORCPT:
            command += f" ORCPT={original}"
    return command


def _orcpt(original: str, *, utf8: bool) -> str:
    return encode_original(original if utf8 else without_utf8(original), utf8=utf8)
