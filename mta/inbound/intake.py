"""Messages on their way into the queue: the trace header, the bounds on memory, and the reply to the end of data."""

from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import Protocol

from twisted.logger import Logger

from mta.event_log.log import EventLog
from mta.inbound.limits import InboundLimits
from mta.inbound.message_rules import MessageRules
from mta.inbound.policy import Client
from mta.message import headers, recognition
from mta.message.envelope import Envelope, TlsDemand
from mta.queue.ids import IdSource
from mta.queue.interface import NOT_DESCRIBED, BodyWriter, Claim, Description, NewMail, Queue, QueueError, QueueFull
from mta.rules.facts import HOST_UNKNOWN, HostNotLookedUp
from mta.smtp.address import Address
from mta.smtp.replies import Reply, reply
from mta.tls.layer import SESSION_OCTETS

_log = Logger()

QUEUE_FULL = reply(452, "4.3.1", "No room in the queue, please try again later")
LOW_MEMORY = reply(452, "4.3.1", "Too much mail is coming in at once, please try again later")
QUEUE_BROKEN = reply(451, "4.3.0", "The queue cannot take mail now, please try again later")
TOO_MANY_HOPS = reply(554, "5.4.6", "Too many hops: this message is in a loop")
MAIL_LOOP = reply(554, "5.4.6", "Mail loop: this message was delivered here before")
HEADER_TOO_LARGE = reply(552, "5.3.4", "The header of this message is too large")

# Octets of an unfinished header that may be kept even if little memory is left.
_SMALL_HEADER = 16384


class DirectDelivery(Protocol):
    """Delivers messages from memory as soon as they are stored; mta.delivery.service is the implementation."""

    def lease(self, size: int) -> float | None:
        """Return the seconds of the lease for a message of `size` octets, or None if memory has no room for it."""

    def take(self, claim: Claim) -> None:
        """Deliver a message that was stored under such a lease."""

    def wake(self) -> None:
        """Look into the queue, because a message was stored without a lease."""


class WasDeliveredHere(Protocol):
    """Recognizes earlier local deliveries by Delivered-To values; `mta.delivery.local.local` has the implementation."""

    def __call__(self, addresses: Iterable[Address], delivered_to: Container[bytes], /) -> bool:
        """Return whether a value, in lower case, names an address or a mailbox to which one of them leads."""


def never_delivered_here(_addresses: Iterable[Address], _marks: Container[bytes]) -> bool:
    """Return False: no message was delivered here, because there is no local delivery."""
    return False


class Intake:
    """Accepts messages for the queue. `name` is the relay's host name; `wall_clock` gives seconds since 1970."""

    def __init__(
        self,
        queue: Queue,
        delivery: DirectDelivery,
        event_log: EventLog,
        *,
        ids: IdSource,
        wall_clock: Callable[[], float],
        name: str,
        limits: InboundLimits,
        was_delivered_here: WasDeliveredHere = never_delivered_here,
        keep_subjects: bool = True,
    ) -> None:
        """`keep_subjects` has the queue keep the Subject of each message for the operator."""
        self.queue = queue
        self.delivery = delivery
        self.event_log = event_log
        self.ids = ids
        self.wall_clock = wall_clock
        self.name = name
        self.limits = limits
        self.was_delivered_here = was_delivered_here
        self.keep_subjects = keep_subjects
        #: Octets of memory that all messages under way take now.
        self.in_memory = 0
        #: Recipients of all messages under way, beyond the hundred of each that RFC 5321 requires.
        self.surplus_recipients = 0
        #: The reply to MAIL while the queue takes no messages; None if it does, as far as is known.
        self.refusal: Reply | None = None

    def set_away(self, away: bool) -> None:  # noqa: FBT001  the only argument of a listener
        """Refuse new messages while the queue is away."""
        self.refusal = QUEUE_BROKEN if away else None

    def room_for_recipient(self) -> bool:
        """Return whether a message that has a hundred recipients may have one more."""
        return self.surplus_recipients < self.limits.surplus_recipients

    def begin(self, envelope: Envelope, client: Client, tls: str = "", rules: MessageRules | None = None) -> "Incoming":
        """Begin a message. `tls` names protocol and cipher for the trace header, `rules` decide after the data."""
        return Incoming(self, envelope, client, tls, rules)


class Incoming:
    """A message while it arrives.

    It keeps at most a header block in memory and passes the rest to the queue's writer. The memory of all messages
    together is bounded too: if little is left, even a small body goes to its file, and a message with a large
    unfinished header is refused.
    """

    __slots__ = (
        "_buffers",
        "_claim",
        "_client",
        "_deliverable",
        "_description",
        "_envelope",
        "_head",
        "_held",
        "_intake",
        "_refusal",
        "_rules",
        "_seen",
        "_size",
        "_tls",
        "_was_from",
        "_writer",
        "id",
        "release",
    )

    def __init__(
        self, intake: Intake, envelope: Envelope, client: Client, tls: str, rules: MessageRules | None
    ) -> None:
        self._intake = intake
        self._envelope = envelope
        self._client = client
        self._tls = tls
        self._buffers = SESSION_OCTETS if tls else 0
        self._rules = rules
        self._description = NOT_DESCRIBED
        #: The time before which the message is not to be delivered, wall-clock seconds; None means at once.
        self.release: float | None = None
        self.id = intake.ids.new(intake.wall_clock())
        self._writer: BodyWriter = intake.queue.writer(self.id)
        # The octets up to the end of the header block and behind it; None once they are passed on.
        self._head: bytes | bytearray | None = b""
        self._seen = 0
        self._refusal: Reply | None = None
        # Octets of memory that this message takes, as counted in `Intake.in_memory`.
        self._held = 0
        # The octets of the stored message; None until it is stored. A held one is not delivered.
        self._size: int | None = None
        self._deliverable = False
        # The lease of the stored message; None if there is no room for its delivery now.
        self._claim: Claim | None = None
        # The sender that the client gave, if a rule has set another one.
        self._was_from: Address | None = None

    def write(self, data: bytes) -> None:
        """Add octets of the message. An error of the queue is remembered, and the message refused at its end."""
        if self._refusal is not None:
            return
        if self._head is None:
            self._write(data)
        else:
            self._add_to_header(data, ended=False)
        self._account_memory()

    async def store(self) -> Reply:
        """Store the message and return the reply, which is positive once the message is on disk.

        `deliver` must be called after the reply is sent, because the client waits for nothing that it does.
        """
        if self._refusal is None and self._head is not None:
            self._add_to_header(b"", ended=True)
        rules = self._rules
        if rules is not None and self._refusal is None and (denial := rules.refusal(self._writer.size)) is not None:
            self._refuse(denial)
        if self._refusal is not None:
            return self._refusal
        intake = self._intake
        held = rules is not None and rules.rulings.held
        try:
            body = self._writer.finish()
            mail = NewMail(self.id, self._envelope, body, held, self._description)
            now = intake.wall_clock()
            # The age of a message counts from its release, and so does the time after which it is given up.
            created = now if self.release is None else max(now, self.release)
            lease = None if held or created > now else intake.delivery.lease(body.size)
            self._claim = await intake.queue.add(mail, created, lease)
        except QueueError as error:
            return self._refuse_error(error)
        except Exception as bug:  # noqa: BLE001  a bug costs the client no reply
            _log.failure("a message could not be stored")
            intake.event_log.trouble(f"the queue could not store a message: {bug}", self.id)
            return QUEUE_BROKEN
        finally:
            self._release_memory()
        self._size, self._deliverable = body.size, not held
        return reply(250, "2.0.0", f"Ok: queued as {self.id}")

    @property
    def refused_by(self) -> str | None:
        """The place of the rule that refused the message; None if no rule did."""
        return None if self._rules is None else self._rules.refused_by

    def deliver(self) -> None:
        """Log the message if it was stored, and hand it to the delivery if it is not held."""
        if self._size is None:
            return
        places = None if self._rules is None else self._rules.rulings.places
        user, was, tls, until, held = self._client.user, self._was_from, self._tls, self.release, not self._deliverable
        self._intake.event_log.accepted(
            self.id, self._envelope, self._size, user, places, held=held, was_from=was, tls=tls, release=until
        )
        if held:
            return
        if self._claim is None:
            self._intake.delivery.wake()
        else:
            self._intake.delivery.take(self._claim)

    def abort(self) -> None:
        """Drop the message, because the client withdrew it or is gone."""
        self._writer.abort()
        self._release_memory()

    def _account_memory(self) -> None:
        """Count the memory that the message takes if it is not refused; spill it if all messages take too much."""
        if self._refusal is not None:
            return
        intake = self._intake
        held = self._buffers + (self._writer.in_memory if self._head is None else len(self._head))
        intake.in_memory += held - self._held
        self._held = held
        if intake.in_memory > intake.limits.octets_in_memory:
            self._spill()

    def _spill(self) -> None:
        """Move the body to its file, or refuse the message if its header is large and must stay in memory."""
        kept = 0 if self._rules is None else self._rules.in_memory
        if max(kept, 0 if self._head is None else len(self._head)) > _SMALL_HEADER:
            self._refuse(LOW_MEMORY)
            return
        if self._head is not None:
            return
        try:
            self._writer.spill()
        except QueueError as error:
            self._refuse_error(error)
        else:
            held = self._buffers + self._writer.in_memory
            self._intake.in_memory += held - self._held
            self._held = held

    def _release_memory(self) -> None:
        self._intake.in_memory -= self._held
        self._held = 0

    def _add_to_header(self, data: bytes, *, ended: bool) -> None:
        """Collect the header block; once it is complete, add the trace header and pass both to the writer."""
        head = self._head
        if not head:
            head = data
        elif data:
            if isinstance(head, bytes):
                head = bytearray(head)
            head += data
        self._head = head
        end = self._header_end(ended=ended)
        if (len(self._head) if end is None else end) > self._intake.limits.header_size:
            self._refuse(HEADER_TOO_LARGE)
        elif end is not None:
            head, self._head = bytes(self._head), None
            self._header_complete(head, end)

    def _header_end(self, *, ended: bool) -> int | None:
        """Return where the header block ends, or None if more octets are needed to tell.

        Lines of a mailbox file before the header are removed from a trusted client's message.
        """
        head = self._head or b""
        end = headers.header_end(head, self._seen, ended=ended)
        if end is None:
            self._seen = len(head)
        if end != 0 or not self._client.trusted:
            return end
        line = headers.mailbox_line_end(head, ended=ended)
        if not line:
            return line
        self._head, self._seen = head[line:], 0
        return self._header_end(ended=ended)

    def _header_complete(self, head: bytes, end: int) -> None:
        block = head[:end]
        found = headers.scan(block)
        if found.hops > self._intake.limits.hops:
            self._refuse(TOO_MANY_HOPS)
            return
        if not self._client.trusted and self._is_loop(block):
            self._refuse(MAIL_LOOP)
            return
        rule = self._client.senders
        if rule is not None and (refusal := rule.refusal_of_header(block, self._envelope.sender)) is not None:
            self._refuse(refusal)
            return
        kept = headers.strip(block, found, trusted=self._client.trusted)
        blank_line = b"\r\n" if headers.needs_blank_line(head, end) else b""
        rules, hide_client = self._rules, False
        if rules is not None:
            try:
                rewritten = rules.rewrite(self._envelope, kept)
            except HostNotLookedUp:
                self._refuse(HOST_UNKNOWN)
                return
            if rewritten is not None:
                kept, hide_client = rewritten.block, rewritten.change.hide_client
                found = rewritten.scan(found)
                self._take_envelope(rewritten.envelope)
        if found.tls_optional and self._envelope.tls_demand is None:
            self._envelope = replace(self._envelope, tls_demand=TlsDemand.OPTIONAL)
        self._describe(found)
        trace = self._trace(found, hide_client=hide_client)
        stored = b"".join((trace, kept, blank_line, head[end:]))
        if rules is not None:
            rules.read_header(block, len(stored) - len(head))
            self._buffers += rules.in_memory
        self._write(stored)

    def _describe(self, found: headers.HeaderScan) -> None:
        """Keep the fields by which an operator may look for the message, with those that the relay adds."""
        message_id, subject, author = recognition.texts(found)
        if self._client.trusted and not (message_id and author):
            sender = self._envelope.sender
            message_id = message_id or f"{self.id}@{self._intake.name}"
            author = author or ("" if sender is None else str(sender))
        self._description = Description(message_id, subject if self._intake.keep_subjects else "", author, self._tls)

    def _take_envelope(self, envelope: Envelope) -> None:
        """Put a rewritten envelope in the place of the client's."""
        if envelope.sender != self._envelope.sender:
            self._was_from = self._envelope.sender
        self._envelope = envelope

    def _is_loop(self, block: bytes) -> bool:
        """Return whether a stranger's message was delivered here before.

        The delivery would find that too, but its report would go to the sender that the stranger named, who may be a
        victim.
        """
        delivered_to = frozenset(headers.delivered_to(block))
        return bool(delivered_to) and self._intake.was_delivered_here(
            (each.address for each in self._envelope.recipients), delivered_to
        )

    def _trace(self, found: headers.HeaderScan, *, hide_client: bool) -> bytes:
        """Return the fields to add: Received, and for a trusted client those that its mail program left out."""
        intake, envelope = self._intake, self._envelope
        now = intake.wall_clock()
        trace = headers.received_field(
            envelope.origin,
            intake.name,
            self.id,
            envelope.recipients,
            now=now,
            tls=self._tls,
            hide_client=hide_client,
        )
        if self._client.trusted and not (found.has_date and found.has_message_id and found.has_from):
            if not found.has_date:
                trace += headers.date_field(now)
            if not found.has_message_id:
                trace += headers.message_id_field(self.id, intake.name)
            if not found.has_from and envelope.sender is not None:
                trace += headers.from_field(envelope.sender)
        return trace

    def _write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
        except QueueError as error:
            self._refuse_error(error)

    def _refuse_error(self, error: QueueError) -> Reply:
        full = isinstance(error, QueueFull)
        trouble = "no room in the queue" if full else "the queue could not store a message"
        self._intake.event_log.trouble(f"{trouble}: {error}", self.id)
        refusal = QUEUE_FULL if full else QUEUE_BROKEN
        self._refuse(refusal)
        return refusal

    def _refuse(self, refusal: Reply) -> None:
        self._refusal = refusal
        self._head = None
        self._writer.abort()
        self._release_memory()
