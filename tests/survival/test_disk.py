"""A disk that fails costs a client a 4xx and the operator a line, and never mail that was answered 250.

RELAY_FAULTS=all takes every operation of each kind; otherwise a few are taken of each.
"""

import errno
import gc
import os
import smtplib
from contextlib import suppress

import pytest
from twisted.python.failure import Failure

from harness.mail import mail as new_mail
from harness.sink_rules import Rule
from harness.waiting import until
from mta.blocking import run_inline
from mta.queue.interface import Query, QueueError
from mta.queue.sqlite.queue import open_queue
from tests.endtoend.mails import mail
from tests.endtoend.world import TO
from tests.length import choose
from tests.survival.power import LARGE, SMALL, ledger, tokens

ALL = os.environ.get("RELAY_FAULTS") == "all"
LATER = Rule("RCPT", "451 4.3.0 later")
VERBS = ("write", "fsync", "fsyncdir", "create", "rename", "unlink", "truncate", "open", "read", "mkdir")
ERRORS = (errno.EIO, errno.ENOSPC) if ALL else (errno.EIO,)
only_all = pytest.mark.skipif(not ALL, reason="runs with make disk-faults")


@pytest.fixture
def patient(disk, world):
    """Return a running relay on that disk and its sink, and the account of accepted mail."""
    sink = world.sink()
    relay = world.stopped_relay(sink, QUEUE_DIR=str(disk.mount / "queue"))
    relay.start()
    return Patient(disk, relay, sink)


class Patient:
    """A relay whose disk fails now and then."""

    def __init__(self, disk, relay, sink):
        self.disk = disk
        self.relay = relay
        self.sink = sink
        self.accepted = set()

    def send(self, token, body):
        """Send one message as a client that gives up at once, and return the reply code; 0 without a reply."""
        try:
            with self.relay.client() as client:
                client.sendmail(f"{token}@sender.test", [TO], mail(token, body))
        except smtplib.SMTPResponseException as refusal:
            return refusal.smtp_code
        except (OSError, smtplib.SMTPException):
            return 0
        self.accepted.add(token)
        return 250

    def revive(self):
        """Have the disk in order again, and the relay run."""
        self.disk.heal()
        if not self.relay.child.running:
            assert self.relay.child.wait() != 0
            self.relay.start()

    def suffer(self, token, body, verb, number, error, *, lasting=False):
        """Send a message while an operation fails, then one that must be taken. Return how often the verb came."""
        told = self.troubles()
        self.disk.fail(verb, number, error, lasting=lasting)
        code = self.send(token, body)
        assert code in {250, 451, 452} or (code == 0 and not self.relay.child.running), (code, verb, number)
        if code in {451, 452}:
            until(lambda: self.troubles() > told, what=f"a line about the failed {verb} {number}")
        if code == 250 and not self.sink.rules:
            self.settle_down()
        seen = self.disk.seen().get(verb, 0)
        self.revive()
        assert self.send(f"{token}-then", SMALL) == 250, (verb, number, self.relay.child.text[-1000:])
        return seen

    def troubles(self):
        return self.relay.child.text.count('"event": "trouble"')

    def settle_down(self):
        """Give the relay the time to deliver and record, or to find that it cannot."""
        with suppress(TimeoutError):
            until(lambda: self.accepted <= set(tokens(self.sink)) or not self.relay.child.running, 2)

    def assert_all_is_well(self):
        self.sink.rules.clear()
        self.relay.wait_until_empty()
        assert self.accepted - set(tokens(self.sink)) == set()
        assert ledger(self.relay)["waiting"] == 0
        assert "Traceback" not in self.relay.child.text


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_any_single_operation_may_fail_while_a_message_is_on_its_way(patient, body, error):
    for verb in VERBS:
        number = 0
        while True:
            number += 1
            if patient.suffer(f"{verb}-{number}", body, verb, number, error) < number or (
                number == choose(1, 2) and not ALL
            ):
                break
    patient.assert_all_is_well()


def test_a_start_trusts_no_log_of_which_the_process_before_could_not_sync_a_part(patient):
    patient.sink.rules.append(LATER)
    assert patient.send("before", SMALL) == 250
    # Its next attempt, which syncs too, comes in a second.
    patient.relay.wait_for_events("deferred")
    patient.disk.fail("fsync", name="*-wal")
    assert patient.send("lost", LARGE) == 451
    patient.relay.kill()
    patient.relay.start()
    assert patient.send("after", SMALL) == 250
    patient.disk.cut()
    patient.relay.kill()
    patient.disk.on()
    patient.relay.start()
    patient.assert_all_is_well()
    assert not [event for event in patient.relay.events("trouble") if "is gone" in event["text"]]


class Owner:
    """Opens a queue in this process again and again, and knows the messages that it was given."""

    def __init__(self, home):
        self.home = home
        self.stored = set()

    def use(self):
        """Open the queue, look whether all is there, store one message more, close."""
        queue = open_queue(self.home, run=run_inline, now=1.0, retry_all=True, wal_octets=1 << 18)
        try:
            found = results(queue.find(Query()))
            assert self.stored <= {entry.id for entry in found}
            new = new_mail("bob@b.test", body=SMALL)
            results(queue.add(new, 1.0))
            self.stored.add(new.id)
        finally:
            queue.close()

    def try_to_use(self):
        """Do that on a disk that fails: only the queue's own errors may come of it."""
        with suppress(QueueError):
            self.use()
        # A file that a failed close left open would keep the disk mounted.
        gc.collect()


def results(done):
    """Return the result of a fired Deferred. Raises the exception with which it failed."""
    found = []
    done.addBoth(found.append)
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_after_any_failed_operation_of_an_open_queue_the_next_start_finds_all_messages(disk, error):
    for verb in VERBS:
        for number in range(1, 1000 if ALL else choose(3, 4)):
            owner = Owner(disk.mount / f"queue-{verb}-{number}")
            if number % 2:
                owner.use()
            disk.fail(verb, number, error)
            owner.try_to_use()
            over = disk.seen().get(verb, 0) < number
            disk.heal()
            owner.use()
            if over and number % 2 == 0:
                break


@pytest.mark.parametrize("seed", [None, 1, 2] if ALL else [1])
def test_wherever_the_first_use_of_a_queue_is_cut_the_next_start_finds_all(disk, seed):
    for number in range(1, 1000, 1 if ALL else choose(29, 10)):
        owner = Owner(disk.mount / "new" / f"queue-{number}")
        # SQLite maps its shared memory: a failed read of that ends the process.
        disk.fail("any", number, name="*[!m]", lasting=True)
        owner.try_to_use()
        over = disk.seen().get("any", 0) < number
        disk.cut()
        disk.on(seed)
        owner.use()
        if over:
            break


@only_all
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_a_disk_that_fails_for_a_while_is_told_of_and_mail_is_taken_again_afterwards(patient, error):
    for number in (1, 2, 3, 5, 8, 13):
        for verb in VERBS:
            for body in (SMALL, LARGE):
                token = f"{verb}-{number}-{len(body)}"
                patient.suffer(token, body, verb, number, error, lasting=True)
    patient.assert_all_is_well()


@only_all
def test_mail_that_was_answered_for_survives_a_cut_after_any_failed_sync(patient):
    patient.sink.rules.append(LATER)
    for number in range(1, 7):
        for verb in ("fsync", "fsyncdir"):
            patient.suffer(f"{verb}-{number}", LARGE, verb, number, errno.EIO)
            patient.disk.cut()
            patient.relay.kill()
            patient.disk.on()
            patient.relay.start()
    patient.assert_all_is_well()
