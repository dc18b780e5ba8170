"""Tests which messages are signed, with which keys, and how signed messages are delivered."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.dkim_verifiers import dkimpy_accepts, records
from harness.mail import BODY, ORIGIN, claim, envelope, mail
from mta.blocking import run_inline
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.window import WindowLimits, own_windows, window_limits
from mta.delivery.job import Job
from mta.delivery.local.interface import LocalPart
from mta.delivery.remote.interface import TransactionResult
from mta.delivery.reports import DsnReporter
from mta.delivery.retry_policy import RetryPolicy
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.dkim.keyring import KeyName
from mta.dkim.keys import SigningKey, new_key
from mta.dkim.signature import Canon
from mta.dkim.signer import (
    DAY,
    MAX_HASHED_INLINE,
    MAX_UNSIGNED_DOMAINS,
    DkimSigner,
    PrefixedBody,
    Signature,
    SignedBody,
    UnsignedNotices,
    prefixed,
)
from mta.event_log.log import EventLog
from mta.message.body import Body, FileBody, MemoryBody
from mta.message.envelope import Envelope
from mta.message.outcome import Delivered, Failed, TryLater
from mta.queue.ids import IdSource
from mta.queue.memory import MemoryQueue
from mta.retry_schedule import RetrySchedule, RetryStep, RetryTerms, Shape
from mta.routing.route import Local, Plan, Route, TlsRule
from mta.rules.book import CurrentRules
from tests.fakes.connector import FakeConnector, delivers
from tests.fakes.router import FakeRouter
from tests.fakes.sending import SentJobs

KEY = new_key("s1", "ed25519")
DNS = records("a.test", [KEY]) | records("relay.test", [KEY])
PLAN = Plan("mx.test", ())
ENVELOPE = envelope("bob@b.test")
SCHEDULE = RetrySchedule((RetryStep(Shape.FIXED, 7200.0, 900.0),))
RETRY = RetryPolicy(RetryTerms(SCHEDULE), CurrentRules())


def from_app(envelope: Envelope) -> bool:
    return envelope.origin.client in {ORIGIN.client, ""}


class Keys:
    """A keyring in memory."""

    def __init__(self, *domains: str) -> None:
        self.domains = domains
        self.key = KEY

    def keys(self, domain: str) -> tuple[SigningKey, ...]:
        return (self.key,) if domain in self.domains else ()

    def files(self) -> tuple[tuple[KeyName, ...], ...]:
        return ()


@dataclass
class Stamper:
    """A signer with a known signature, which may be slow."""

    answer: "bytes | Deferred[bytes] | OSError" = b"Signed: yes\r\n"
    signed: list[Body] = field(default_factory=list)

    async def sign(self, envelope: Envelope, body: Body) -> Signature:
        self.signed.append(body)
        if isinstance(self.answer, OSError):
            raise self.answer
        return Signature(self.answer if isinstance(self.answer, bytes) else await self.answer, "a.test/s1")


def octets(body: Body) -> bytes:
    return b"".join(body.chunks())


class PrefixTests(SynchronousTestCase):
    def test_a_body_in_memory_stays_one_piece(self) -> None:
        assert prefixed(b"A: 1\r\n", MemoryBody(b"B: 2\r\n")) == MemoryBody(b"A: 1\r\nB: 2\r\n")

    def test_an_empty_prefix_returns_the_same_body(self) -> None:
        body = MemoryBody(b"x")
        assert prefixed(b"", body) is body

    def test_a_file_is_read_behind_the_prefix_each_time(self) -> None:
        with TemporaryDirectory() as name:
            path = Path(name, "body")
            path.write_bytes(b"B: 2\r\n")
            body = prefixed(b"A: 1\r\n", FileBody(path, 6))
            assert isinstance(body, PrefixedBody)
            assert [octets(body), octets(body)] == [b"A: 1\r\nB: 2\r\n"] * 2
            assert body.size == 12


class DkimSignerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ran = 0
        self.unsigned: list[str] = []

    def run_counted(self, work):
        self.ran += 1
        return run_inline(work)

    def sign(self, body: Body, *domains: str) -> bytes:
        signer = DkimSigner(Keys(*domains), Canon(), ours=from_app, run=self.run_counted)
        return self.successResultOf(Deferred.fromCoroutine(signer.sign(ENVELOPE, body))).fields

    def test_a_message_is_signed_for_the_domain_it_is_from(self) -> None:
        assert dkimpy_accepts(self.sign(MemoryBody(BODY), "a.test") + BODY, DNS)
        assert self.ran == 0

    def test_an_rsa_key_signs_in_a_thread(self) -> None:
        key = new_key("s1", "rsa")
        keys = Keys("a.test")
        keys.key = key
        signer = DkimSigner(keys, Canon(), ours=from_app, run=self.run_counted)
        fields = self.successResultOf(Deferred.fromCoroutine(signer.sign(ENVELOPE, MemoryBody(BODY)))).fields
        assert dkimpy_accepts(fields + BODY, records("a.test", [key]))
        assert self.ran == 1

    def test_a_message_from_a_domain_without_a_key_is_not_signed(self) -> None:
        assert self.sign(MemoryBody(BODY), "b.test") == b""

    def test_a_message_without_an_author_or_with_two_is_not_signed(self) -> None:
        assert self.sign(MemoryBody(b"Subject: x\r\n\r\n"), "a.test") == b""
        assert self.sign(MemoryBody(b"From: a@a.test, b@a.test\r\n\r\n"), "a.test") == b""
        assert self.sign(MemoryBody(b"no header\r\n"), "a.test") == b""

    def test_a_message_from_an_untrusted_client_is_not_signed(self) -> None:
        stranger = replace(ENVELOPE, origin=replace(ORIGIN, client="203.0.113.9"))
        signer = DkimSigner(Keys("a.test"), Canon(), ours=from_app, run=run_inline)
        signature = self.successResultOf(Deferred.fromCoroutine(signer.sign(stranger, MemoryBody(BODY))))
        assert signature == Signature(b"", "none(the client is not trusted)")

    def by(self, text: bytes, *domains: str) -> str:
        signer = DkimSigner(Keys(*domains), Canon(), ours=from_app, run=run_inline, unsigned=self.unsigned.append)
        return self.successResultOf(Deferred.fromCoroutine(signer.sign(ENVELOPE, MemoryBody(text)))).by

    def test_the_signature_names_the_signer_or_the_reason(self) -> None:
        assert self.by(BODY, "a.test") == "a.test/s1"
        assert self.by(BODY, "b.test") == "none(no key for a.test)"
        assert self.by(b"From: a@a.test, b@b.test\r\n\r\n", "a.test") == "none(From: names no domain, or several)"
        assert self.by(b"From: a@a.test\r\n" + b"To: b@b.test\r\n" * 300 + b"\r\n", "a.test") == (
            "none(too many fields to sign)"
        )
        assert self.unsigned == ["a.test"]

    def test_a_sub_domain_is_signed_with_the_nearest_key_above_it(self) -> None:
        text = b"From: shop@mail.shop.a.test\r\nSubject: a\r\n\r\nbody\r\n"
        assert self.by(text, "a.test") == "a.test/s1"
        assert self.by(text, "a.test", "shop.a.test") == "shop.a.test/s1"
        assert self.by(text, "a.test", "mail.shop.a.test") == "mail.shop.a.test/s1"
        assert self.by(text, "test", "other.a.test", "p.a.test") == "none(no key for mail.shop.a.test)"
        assert dkimpy_accepts(self.sign(MemoryBody(text), "a.test") + text, DNS)

    def test_a_domain_without_a_key_is_reported_once_a_day(self) -> None:
        now, notices = [1_000_000.0], list[str]()
        tell = UnsignedNotices(lambda: now[0], notices.append)
        for _ in range(100):
            tell("b.test")
        (line,) = notices
        assert line.startswith("mail from b.test goes out without a DKIM signature: DKIM_KEY_PATH has no key for it")
        now[0] += DAY
        tell("b.test")
        assert len(notices) == 2

    def test_a_client_that_names_many_domains_fills_neither_log_nor_memory(self) -> None:
        notices: list[str] = []
        tell = UnsignedNotices(lambda: 1_000_000.0, notices.append)
        for number in range(10_000):
            tell(f"d{number}.test")
        assert len(notices) == MAX_UNSIGNED_DOMAINS

    def test_a_large_message_is_hashed_in_a_thread(self) -> None:
        with TemporaryDirectory() as name:
            path = Path(name, "body")
            text = BODY + b"line\r\n" * (MAX_HASHED_INLINE // 6)
            path.write_bytes(text)
            assert dkimpy_accepts(self.sign(FileBody(path, len(text)), "a.test") + text, DNS)
        assert self.ran == 1

    def test_a_body_that_cannot_be_read_is_an_error_of_the_disk(self) -> None:
        signer = DkimSigner(Keys("a.test"), Canon(), ours=from_app, run=run_inline)
        self.failureResultOf(Deferred.fromCoroutine(signer.sign(ENVELOPE, FileBody(Path("/nowhere"), 5))), OSError)


class OutgoingTests(SynchronousTestCase):
    def test_a_message_is_signed_once_and_only_when_it_is_asked_for(self) -> None:
        signer = Stamper()
        outgoing = SignedBody(signer)
        assert signer.signed == []
        first = self.successResultOf(outgoing.get(ENVELOPE, MemoryBody(b"x")))
        assert self.successResultOf(outgoing.get(ENVELOPE, MemoryBody(b"x"))) is first
        assert octets(first) == b"Signed: yes\r\nx"
        assert len(signer.signed) == 1

    def test_calls_while_the_body_is_being_signed_wait_for_the_same_signature(self) -> None:
        slow: Deferred[bytes] = Deferred()
        signer = Stamper(slow)
        outgoing = SignedBody(signer)
        asking = [outgoing.get(ENVELOPE, MemoryBody(b"x")) for _ in range(3)]
        for each in asking:
            self.assertNoResult(each)
        slow.callback(b"S\r\n")
        assert [octets(self.successResultOf(each)) for each in asking] == [b"S\r\nx"] * 3
        assert len(signer.signed) == 1

    def test_all_waiting_calls_get_a_failure_and_the_next_call_tries_again(self) -> None:
        slow: Deferred[bytes] = Deferred()
        signer = Stamper(slow)
        outgoing = SignedBody(signer)
        asking = [outgoing.get(ENVELOPE, MemoryBody(b"x")) for _ in range(2)]
        slow.errback(OSError(5, "Input/output error"))
        for each in asking:
            self.failureResultOf(each, OSError)
        signer.answer = b"S\r\n"
        assert octets(self.successResultOf(outgoing.get(ENVELOPE, MemoryBody(b"x")))) == b"S\r\nx"


class DestinationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.connector = FakeConnector()
        self.sent = SentJobs()
        self.destination = Destination(
            "mx.test",
            own_windows(WindowLimits()),
            self.connector,
            DeliveryContext(self.clock, self.clock.seconds, EventLog(lambda _: None, self.clock.seconds)),
        )

    def enter(self, signer: Stamper, plan: Plan = PLAN) -> None:
        job = Job(claim("bob@b.test"), 0.0, signer)
        self.sent.send(self.destination.send, job, plan, 0.0)

    def outcome(self):
        (result,) = self.sent.results
        return result.outcome

    def test_a_message_in_memory_goes_out_signed_at_once(self) -> None:
        self.enter(Stamper())
        assert octets(self.connector.requests[0].body) == b"Signed: yes\r\n" + BODY
        assert isinstance(self.outcome(), Delivered)

    def test_a_large_message_goes_out_when_it_is_signed_and_holds_nothing_else_up(self) -> None:
        slow: Deferred[bytes] = Deferred()
        self.enter(Stamper(slow))
        self.enter(Stamper())
        assert len(self.connector.requests) == 1
        slow.callback(b"Slow: yes\r\n")
        assert octets(self.connector.requests[1].body) == b"Slow: yes\r\n" + BODY

    def test_nothing_is_signed_for_a_destination_that_is_down(self) -> None:
        self.connector.down = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1")
        signer = Stamper()
        self.enter(signer)
        assert signer.signed == []

    def test_mail_for_the_mail_store_is_not_signed(self) -> None:
        store = Plan("store", (Route("localhost", "/run/lmtp", 0, TlsRule.NONE, lmtp=True),))
        self.enter(Stamper(), store)
        assert octets(self.connector.requests[0].body) == BODY

    def test_a_body_that_cannot_be_read_is_put_off_and_the_connection_serves_others(self) -> None:
        self.enter(Stamper(OSError(5, "Input/output error", "/a/path")))
        assert self.outcome() == TryLater("cannot read the message body: Input/output error", status="4.3.0")
        self.enter(Stamper())
        assert len(self.connector.connections) == 1
        assert len(self.connector.requests) == 1

    def test_a_bug_in_signing_defers_the_mail(self) -> None:
        slow: Deferred[bytes] = Deferred()
        self.enter(Stamper(slow))
        slow.errback(ValueError("oops"))
        assert self.outcome() == TryLater("internal error: oops", status="4.3.0")
        assert len(self.flushLoggedErrors(ValueError)) == 1

    def test_a_message_still_being_signed_at_the_end_is_given_back(self) -> None:
        slow: Deferred[bytes] = Deferred()
        self.enter(Stamper(slow))
        self.destination.close()
        self.destination.abort()
        self.connector.connections[0].deliver = lambda _: Deferred.fromCoroutine(stale())
        slow.callback(b"")
        assert len(self.sent.given_back) == 1
        assert len(self.connector.connections) == 1


async def stale() -> TransactionResult:
    """Return the result of a connection that was closed meanwhile."""
    return TransactionResult({}, stale=True)


class Mailboxes:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def deliver(self, claim, recipients):
        self.bodies.append(octets(claim.body))
        outcome = Delivered("delivered to the mailbox", "")
        return [LocalPart(tuple(recipients), succeed({pending.index: outcome for pending in recipients}))]


class ServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.queue = MemoryQueue()
        self.connector = FakeConnector()
        self.router = FakeRouter()
        self.mailboxes = Mailboxes()
        wall_clock, event_log = self.clock.seconds, EventLog(lambda _: None, self.clock.seconds)
        reporter = DsnReporter("relay.test", IdSource(tag=3), RETRY)
        context = DeliveryContext(self.clock, wall_clock, event_log)
        self.service = DeliveryService(
            self.queue,
            self.router,
            self.connector,
            self.mailboxes,
            Settler(self.queue, reporter, RETRY, context),
            context=context,
            windows=own_windows(window_limits(SCHEDULE)),
            signer=DkimSigner(Keys("a.test", "relay.test"), Canon(), ours=from_app, run=run_inline),
        )
        self.service.startService()

    def hand_over(self, *recipients: str) -> None:
        new = mail(*recipients)
        claimed = self.successResultOf(self.queue.add(new, self.clock.seconds(), 3600.0))
        self.service.take(claimed)
        self.clock.advance(0)

    def sent(self) -> list[bytes]:
        return [octets(request.body) for request in self.connector.requests]

    def test_a_message_to_two_destinations_bears_one_signature(self) -> None:
        self.router.routings["c.test"] = Plan("mx.c.test", ())
        self.hand_over("bob@b.test", "eve@c.test")
        first, second = self.sent()
        assert first == second
        assert dkimpy_accepts(first, DNS)

    def test_reports_of_the_relay_are_signed(self) -> None:
        refused = Failed("550 5.1.1 no such user", "mx.test[192.0.2.1]:25", "5.1.1")

        def answer(request):
            return delivers(request) if request.envelope.sender is None else {0: refused}

        self.connector.answer = answer
        self.hand_over("bob@b.test")
        report = self.sent()[1]
        assert b"; d=relay.test;" in report
        assert dkimpy_accepts(report, DNS)

    def test_mail_to_local_mailboxes_is_not_signed(self) -> None:
        self.router.routings["here.test"] = Local()
        self.hand_over("bob@here.test")
        assert self.mailboxes.bodies == [BODY]
