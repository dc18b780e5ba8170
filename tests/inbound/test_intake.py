"""Messages on their way into the queue: trace headers, bounds on memory, and refusals."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from harness.mail import envelope
from mta.inbound.intake import HEADER_TOO_LARGE, Incoming
from mta.inbound.limits import InboundLimits
from mta.inbound.policy import Client
from mta.message.envelope import BodyType, TlsDemand
from mta.queue.interface import BodyWriter, Claim, Entry, NewMail, Query, QueueError, QueueFull, QueueId
from mta.queue.memory import MemoryQueue
from mta.smtp.replies import Reply
from mta.tls.layer import SESSION_OCTETS
from tests.drivers.listener import FRIEND, STRANGER, Listening

Cut = Callable[[bytes], list[bytes]]
COMPLETE = b"From: <a@a.test>\r\nDate: then\r\nMessage-ID: <1@a.test>\r\n\r\nHello.\r\n"


def store(incoming: Incoming) -> Reply:
    """Store a message and have it delivered, as a session does; return the reply."""
    replies: list[Reply] = []
    Deferred.fromCoroutine(incoming.store()).addCallback(replies.append)
    (verdict,) = replies
    incoming.deliver()
    return verdict


def take(*pieces: bytes, parts: Listening | None = None, trusted: bool = True, **changes: object) -> tuple[str, bytes]:
    """Take a message in pieces; return the reply and what is then in the queue."""
    parts = parts or Listening()
    mail = replace(envelope("bob@b.test"), **changes)  # type: ignore[arg-type]
    incoming = parts.intake.begin(mail, Client(FRIEND if trusted else STRANGER, trusted))
    for piece in pieces:
        incoming.write(piece)
    verdict = store(incoming)
    taken = parts.delivery.taken
    return str(verdict), b"".join(taken[0].body.chunks()) if taken else b""


def test_a_complete_message_gets_a_received_field_and_no_other() -> None:
    answer, stored = take(COMPLETE)
    assert answer.startswith("250 2.0.0 Ok: queued as ")
    id = answer.rsplit(" ", 1)[1]
    trace, rest = stored[: -len(COMPLETE)], stored[-len(COMPLETE) :]
    assert rest == COMPLETE
    assert trace.startswith(b"Received: from app.test ([127.0.0.1])\r\n")
    assert f"id {id}".encode() in trace
    assert b"for <bob@b.test>;" in trace


def test_trusted_clients_get_the_fields_that_their_mail_program_left_out() -> None:
    answer, stored = take(b"Subject: hi\r\n\r\nHello.\r\n")
    id = answer.rsplit(" ", 1)[1].encode()
    assert re.search(rb"\r\nDate: \w\w\w, \d\d \w\w\w \d{4} [\d:]{8} \+0000\r\n", stored)
    assert b"\r\nMessage-ID: <" + id + b"@mx.example.test>\r\n" in stored
    assert b"\r\nFrom: <alice@a.test>\r\n" in stored
    assert stored.endswith(b"Subject: hi\r\n\r\nHello.\r\n")


def entry_of(parts: Listening) -> Entry:
    """Return the one message of a queue."""
    entries: list[Entry] = []
    parts.intake.queue.find(Query()).addCallback(entries.extend)
    (entry,) = entries
    return entry


def test_the_queue_keeps_the_fields_by_which_an_operator_looks_for_a_message() -> None:
    parts = Listening()
    incoming = parts.intake.begin(envelope("bob@b.test"), Client(STRANGER, False), "TLSv1.3 TLS_AES")
    incoming.write(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" + COMPLETE)
    store(incoming)
    entry = entry_of(parts)
    assert (entry.message_id, entry.subject, entry.author) == ("1@a.test", "Gr\u00fc\u00dfe", "<a@a.test>")
    assert entry.tls == "TLSv1.3 TLS_AES"


def test_the_queue_keeps_the_fields_that_the_relay_adds_and_no_subject_if_that_is_set() -> None:
    parts = Listening()
    parts.intake.keep_subjects = False
    answer, _ = take(b"Subject: hi\r\n\r\nHello.\r\n", parts=parts)
    entry, id = entry_of(parts), answer.rsplit(" ", 1)[1]
    assert (entry.message_id, entry.subject, entry.author) == (f"{id}@mx.example.test", "", "alice@a.test")


MAILBOX_LINE = b"From root@host Mon Nov 29 10:00:01 2026\r\n"


@pytest.mark.parametrize("line", [MAILBOX_LINE, b">" + MAILBOX_LINE, b"From root@host\r\n"])
@pytest.mark.parametrize("cut", [lambda data: [data], lambda data: [data[at : at + 1] for at in range(len(data))]])
def test_the_first_line_of_a_mailbox_file_is_removed_from_trusted_clients_mail(line: bytes, cut: Cut) -> None:
    answer, stored = take(*cut(line + COMPLETE))
    assert answer.startswith("250")
    assert stored.startswith(b"Received: ")
    assert stored.endswith(b"\r\n" + COMPLETE)
    assert b"From root@host" not in stored
    _, stored = take(*cut(line + COMPLETE), trusted=False)
    assert stored.endswith(b"\r\n\r\n" + line + COMPLETE)


@pytest.mark.parametrize("cut", [lambda data: [data], lambda data: [data[at : at + 1] for at in range(len(data))]])
@pytest.mark.parametrize(
    "body", [b"From here on\r\n", b"From here on\r\n\r\nwe walk\r\n", b"From here\r\non\r\n", b"From"]
)
def test_a_body_that_begins_with_from_keeps_its_first_line(body: bytes, cut: Cut) -> None:
    _, stored = take(*cut(body))
    assert stored.endswith(b"\r\n\r\n" + body)


def test_a_mailbox_line_alone_or_before_a_body_is_removed_too() -> None:
    assert take(MAILBOX_LINE)[1].endswith(b"From: <alice@a.test>\r\n")
    assert take(MAILBOX_LINE + b"\r\nbody\r\n")[1].endswith(b"From: <alice@a.test>\r\n\r\nbody\r\n")


@pytest.mark.parametrize("rest", [b"X-A: " + b"a" * 2000 + b"\r\n", b"a" * 2000])
def test_a_header_behind_a_mailbox_line_without_a_time_is_bounded_too(rest: bytes) -> None:
    parts = Listening(InboundLimits(header_size=1000))
    incoming = parts.intake.begin(envelope("bob@b.test"), Client(FRIEND, trusted=True))
    for piece in (b"From root@host\r\n", rest, rest):
        incoming.write(piece)
    assert parts.intake.in_memory == 0
    assert store(incoming) == HEADER_TOO_LARGE


def test_bcc_is_removed_from_trusted_clients_mail_and_kept_in_strangers_mail() -> None:
    blind = b"To: x@y.test\r\nBcc: boss@y.test,\r\n spy@y.test\r\nContent-Length: 9\r\n" + COMPLETE
    _, stored = take(blind)
    assert stored.endswith(b"\r\nTo: x@y.test\r\n" + COMPLETE)
    _, stored = take(blind, trusted=False)
    assert stored.endswith(blind)


def test_a_header_of_bcc_alone_is_replaced_by_the_relays_fields() -> None:
    _, stored = take(b"Bcc: a@b.test\r\n\r\nHello.\r\n")
    assert b"Bcc" not in stored
    assert stored.endswith(b"From: <alice@a.test>\r\n\r\nHello.\r\n")


def test_a_strangers_mail_is_not_completed() -> None:
    _, stored = take(b"Subject: hi\r\n\r\nHello.\r\n", trusted=False)
    assert b"Date:" not in stored
    assert b"Message-ID:" not in stored
    assert b"From:" not in stored


def test_a_report_gets_no_from_of_the_null_sender() -> None:
    _, stored = take(b"Subject: hi\r\n\r\nHello.\r\n", sender=None)
    assert b"From:" not in stored


def test_the_trace_of_an_earlier_final_delivery_is_removed() -> None:
    _, stored = take(b"Return-Path: <x@y.test>\r\n" + COMPLETE)
    assert b"Return-Path" not in stored
    assert stored.endswith(COMPLETE)


def test_a_message_without_a_header_gets_one() -> None:
    _, stored = take(b"Hello, without any header.\r\n")
    assert stored.endswith(b"\r\n\r\nHello, without any header.\r\n")


def test_an_empty_message_gets_a_header() -> None:
    answer, stored = take()
    assert answer.startswith("250")
    assert stored.startswith(b"Received: ")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_it_makes_no_difference_in_which_pieces_a_message_comes(size: int) -> None:
    whole = b"Return-Path: <x@y.test>\r\nSubject: hi\r\n folded\r\n\r\nHello.\r\n\r\nBye.\r\n"
    _, stored = take(*[whole[i : i + size] for i in range(0, len(whole), size)])
    assert stored.endswith(b"Subject: hi\r\n folded\r\n\r\nHello.\r\n\r\nBye.\r\n")
    assert b"Return-Path" not in stored


def test_a_message_that_went_in_circles_is_refused() -> None:
    hops = b"Received: from a by b; then\r\n"
    assert take(hops * 50 + COMPLETE)[0].startswith("250")
    answer, stored = take(hops * 51 + COMPLETE)
    assert answer.startswith("554 5.4.6")
    assert stored == b""


def test_a_header_without_end_is_refused_and_not_kept_in_memory() -> None:
    parts = Listening(InboundLimits(header_size=1000))
    answer, stored = take(*[b"X-More: and more\r\n"] * 100, b"\r\nbody\r\n", parts=parts)
    assert answer.startswith("552 5.3.4")
    assert stored == b""


def test_declared_parameters_are_in_the_envelope() -> None:
    parts = Listening()
    take(COMPLETE, parts=parts, body_type=BodyType.EIGHT_BIT, envid="abc")
    kept = parts.delivery.taken[0].envelope
    assert (kept.body_type, kept.envid) == (BodyType.EIGHT_BIT, "abc")


FIELD = b"TLS-Required: No\r\n" + COMPLETE


def test_the_header_field_of_a_sender_without_a_demand_is_kept_as_one() -> None:
    for demand, kept in ((None, TlsDemand.OPTIONAL), (TlsDemand.REQUIRED, TlsDemand.REQUIRED)):
        parts = Listening()
        _, stored = take(FIELD, parts=parts, tls_demand=demand)
        assert parts.delivery.taken[0].envelope.tls_demand is kept
        assert b"TLS-Required: No" in stored


def test_a_message_without_the_field_has_the_demand_of_its_envelope() -> None:
    for demand in (None, TlsDemand.REQUIRED):
        parts = Listening()
        take(COMPLETE, parts=parts, tls_demand=demand)
        assert parts.delivery.taken[0].envelope.tls_demand is demand


def begin(parts: Listening) -> Incoming:
    return parts.intake.begin(envelope("bob@b.test"), Client(FRIEND, trusted=True))


class CountingQueue(MemoryQueue):
    """Keeps in files, as it were, what it is told to spill."""

    def __init__(self) -> None:
        super().__init__()
        self.unloaded = 0

    def writer(self, id: QueueId) -> BodyWriter:  # type: ignore[override]
        queue = self
        real = super().writer(id)

        class Writer(type(real)):  # type: ignore[misc]
            filed = False

            def spill(self) -> None:
                queue.unloaded += not self.filed
                self.filed = True

            @property
            def in_memory(self) -> int:
                return 0 if self.filed else self.size

        return Writer(real.store)  # type: ignore[no-any-return]


HEAD = b"Subject: hi\r\n\r\n"


def test_the_memory_of_all_messages_together_is_bounded_and_the_excess_goes_to_files() -> None:
    queue = CountingQueue()
    parts = Listening(InboundLimits(octets_in_memory=1_000_000), queue)
    crowd = [begin(parts) for _ in range(100)]
    for _ in range(10):
        for incoming in crowd:
            incoming.write(HEAD + b"x" * 5_000)
            assert parts.intake.in_memory <= 1_000_000
    assert 70 < queue.unloaded < 100
    assert [store(incoming).code for incoming in crowd] == [250] * 100
    assert parts.intake.in_memory == 0
    assert {claim.body.size for claim in parts.delivery.taken} == {parts.delivery.taken[0].body.size}


def test_under_low_memory_long_headers_get_a_452_and_short_ones_are_accepted() -> None:
    parts = Listening(InboundLimits(octets_in_memory=1_000_000))
    crowd = [begin(parts) for _ in range(10)]
    for incoming in crowd:
        incoming.write(b"X: " + b"x" * 99_000 + b"\r\n")
    replies: list[Reply] = []
    late, short = begin(parts), begin(parts)
    late.write(b"X: " + b"x" * 99_000 + b"\r\n")
    assert parts.intake.in_memory <= 1_000_000
    short.write(b"Subject: hi\r\n")
    for incoming in (late, short, *crowd):
        incoming.write(b"\r\n")
        replies.append(store(incoming))
    assert [str(reply)[:9] for reply in replies[:2]] == ["452 4.3.1", "250 2.0.0"]
    assert parts.intake.in_memory == 0


def test_a_message_is_logged_after_its_reply_and_only_if_it_was_stored() -> None:
    parts, replies = Listening(), list[Reply]()
    incoming = begin(parts)
    incoming.write(COMPLETE)
    Deferred.fromCoroutine(incoming.store()).addCallback(replies.append)
    assert (replies[0].code, parts.lines) == (250, [])
    incoming.deliver()
    assert [" accepted " in line for line in parts.lines] == [True]
    parts = Listening(queue=Refusing(QueueFull("no")))
    take(COMPLETE, parts=parts)
    assert not [line for line in parts.lines if " accepted " in line]


def test_memory_is_given_back_however_a_message_ends() -> None:
    for queue in (FailingDisk(QueueFull("no")), Refusing(QueueError("no")), Refusing(QueueFull("no"))):
        parts = Listening(queue=queue)
        take(COMPLETE, parts=parts)
        assert parts.intake.in_memory == 0
    parts = Listening(InboundLimits(header_size=1000))
    take(b"X-More: and more\r\n" * 100, parts=parts)
    assert parts.intake.in_memory == 0
    incoming = begin(parts)
    incoming.write(COMPLETE)
    assert parts.intake.in_memory > 0
    incoming.abort()
    assert parts.intake.in_memory == 0


def test_the_buffers_of_tls_count_while_a_message_comes_in_and_not_after() -> None:
    parts = Listening(InboundLimits(octets_in_memory=1_000_000))
    secret = parts.intake.begin(envelope("bob@b.test"), Client(FRIEND, trusted=True), "TLSv1.3 cipher")
    secret.write(COMPLETE)
    in_secret = parts.intake.in_memory
    clear = begin(parts)
    clear.write(COMPLETE)
    in_clear = parts.intake.in_memory - in_secret
    assert SESSION_OCTETS < in_secret - in_clear < SESSION_OCTETS + 100
    clear.abort()
    store(secret)
    assert parts.intake.in_memory == 0


@pytest.mark.parametrize("pieces", [(b"a" * 2000,), (b"A: b\r\n\r\n", b"x"), (b"Received: a\r\n" * 3 + b"\r\n",)])
def test_a_message_that_is_refused_takes_no_memory_any_more(pieces: tuple[bytes, ...]) -> None:
    parts = Listening(InboundLimits(header_size=1000, hops=2))
    incoming = parts.intake.begin(envelope("bob@b.test"), Client(FRIEND, trusted=True), "TLSv1.3")
    if len(pieces) > 1:
        incoming._writer = FailingWriter(QueueFull("full"))  # type: ignore[assignment]
    for piece in pieces:
        incoming.write(piece)
    assert store(incoming).code in {452, 552, 554}
    assert parts.intake.in_memory == 0


class FailingWriter:
    size = 0
    in_memory = 0

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, data: bytes) -> None:
        raise self.error

    def finish(self) -> None:
        raise AssertionError("an aborted writer is not finished")

    def abort(self) -> None:
        pass


class FailingDisk(MemoryQueue):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def writer(self, id: QueueId) -> BodyWriter:
        return FailingWriter(self.error)  # type: ignore[return-value]


class Refusing(MemoryQueue):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        return fail(self.error)


@pytest.mark.parametrize(
    ("queue", "code"),
    [
        (FailingDisk(QueueFull("no space left on device")), "452 4.3.1"),
        (FailingDisk(QueueError("Input/output error")), "451 4.3.0"),
        (Refusing(QueueFull("no space left on device")), "452 4.3.1"),
        (Refusing(QueueError("the queue file cannot be written")), "451 4.3.0"),
    ],
)
def test_a_message_that_cannot_be_stored_gets_a_4yz_and_the_log_has_the_reason(queue: MemoryQueue, code: str) -> None:
    parts = Listening(queue=queue)
    answer, _ = take(COMPLETE, parts=parts)
    assert answer.startswith(code)
    assert len([line for line in parts.lines if " trouble " in line]) == 1
    assert not [line for line in parts.lines if " accepted " in line]


def test_a_bug_in_the_queue_is_logged_and_the_client_gets_a_451() -> None:
    parts = Listening(queue=Refusing(ZeroDivisionError("oops")))
    with capturedLogs() as events:
        answer, _ = take(COMPLETE, parts=parts)
    assert answer.startswith("451 4.3.0")
    assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
    assert "could not store a message: oops" in parts.lines[0]
    assert parts.intake.in_memory == 0
