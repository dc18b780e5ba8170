"""Tests signing in batches in a thread."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from mta.dkim.keys import new_key
from mta.dkim.signature import UnsignedField
from mta.dkim.signer import BatchSigner

SLOW = new_key("s1", "rsa")
QUICK = new_key("s2", "ed25519")


def field(number: int) -> UnsignedField:
    return UnsignedField(SLOW, b"v=%d; b=" % number, b"text %d" % number)


class Thread:
    """A `run` whose work is done when the test asks for it."""

    def __init__(self) -> None:
        self.works: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], Any]) -> "Deferred[Any]":
        done: Deferred[Any] = Deferred()
        self.works.append((work, done))
        return done

    def do_one(self) -> None:
        work, done = self.works.pop(0)
        execute(work).chainDeferred(done)

    def fail_one(self) -> None:
        self.works.pop(0)[1].errback(MemoryError())


class BatchSignerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.thread = Thread()
        self.work = BatchSigner(self.thread)

    def test_a_quick_key_signs_at_once(self) -> None:
        quick = UnsignedField(QUICK, b"v=1; b=", b"text")
        assert self.successResultOf(self.work.sign([quick])) == quick.sign()
        assert self.thread.works == []

    def test_an_empty_list_of_fields_is_signed_at_once(self) -> None:
        assert self.successResultOf(self.work.sign([])) == b""

    def test_a_slow_key_signs_in_a_thread(self) -> None:
        signing = self.work.sign([field(1)])
        self.assertNoResult(signing)
        self.thread.do_one()
        assert self.successResultOf(signing) == field(1).sign()

    def test_a_quick_key_beside_a_slow_one_keeps_its_place(self) -> None:
        fields = [UnsignedField(QUICK, b"v=1; b=", b"text"), field(2)]
        signing = self.work.sign(fields)
        self.thread.do_one()
        assert self.successResultOf(signing) == fields[0].sign() + fields[1].sign()

    def test_fields_that_come_while_the_thread_signs_are_its_next_batch(self) -> None:
        signing = [self.work.sign([field(number)]) for number in range(4)]
        assert len(self.thread.works) == 1
        self.thread.do_one()
        assert self.successResultOf(signing[0]) == field(0).sign()
        for each in signing[1:]:
            self.assertNoResult(each)
        assert len(self.thread.works) == 1
        self.thread.do_one()
        assert [self.successResultOf(each) for each in signing[1:]] == [field(number).sign() for number in (1, 2, 3)]
        assert self.thread.works == []

    def test_after_a_pause_signing_begins_anew(self) -> None:
        for number in (1, 2):
            signing = self.work.sign([field(number)])
            self.thread.do_one()
            assert self.successResultOf(signing) == field(number).sign()

    def test_fields_that_come_in_a_callback_are_signed_too(self) -> None:
        again = self.work.sign([field(1)]).addCallback(lambda _: self.work.sign([field(2)]))
        self.thread.do_one()
        self.thread.do_one()
        assert self.successResultOf(again) == field(2).sign()

    def test_a_failure_concerns_its_batch_only(self) -> None:
        failing, waiting = self.work.sign([field(1)]), self.work.sign([field(2)])
        self.thread.fail_one()
        self.failureResultOf(failing, MemoryError)
        self.thread.do_one()
        assert self.successResultOf(waiting) == field(2).sign()
