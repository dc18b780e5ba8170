"""The load of the queue alone: messages that are added, marked and settled, a number of them at a time."""

import os
import time
from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from mta.message.body import MemoryBody
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, NewMail, Queue, Settlement, Verdict
from mta.smtp.address import parse_address

BODY = os.urandom(4096)
ENVELOPE = Envelope(
    parse_address("sender@example.test"),
    (Recipient(parse_address("bob@example.test")),),
    Origin("127.0.0.1", "client.example.test", "ESMTP"),
)
TOOK = Delivered("250 2.0.0 Ok: queued as 12345", "mx.example.test[192.0.2.1]:25")
#: Seconds of the lease of each message.
LEASE = 600.0


class Load:
    """Keeps a number of messages in flight until all are settled.

    With `marks`, each is marked before it is settled, as a delivery does it before the last octet.
    """

    def __init__(
        self, queue: Queue, messages: int, flight: int, *, ids: IdSource, work: float = 0.0, marks: bool = True
    ) -> None:
        """`work` is seconds of CPU that the reactor's thread uses before each add and each settlement."""
        self.queue = queue
        self.left = messages
        self.open = messages
        self.flight = flight
        self.work = work
        self.ids = ids
        self.marks = marks

    def start(self, done: Callable[[Failure | None], object]) -> None:
        """Begin; `done` is called at the end, with a failure if there was one."""
        self.done = done
        for _ in range(self.flight):
            self.send()

    def send(self) -> None:
        """Add one more, if any are left."""
        if self.left == 0:
            return
        self.left -= 1
        labour(self.work)
        now = time.time()
        mail = NewMail(self.ids.new(now), ENVELOPE, MemoryBody(BODY))
        self.queue.add(mail, now, lease=LEASE).addCallbacks(self.added, self.done)

    def added(self, claim: Claim) -> None:
        """Go on with the next one, and mark or settle this one."""
        self.send()
        if self.marks:
            self.queue.note_in_flight(claim.id, (0,)).addCallbacks(lambda _: self.settle(claim), self.done)
        else:
            self.settle(claim)

    def settle(self, claim: Claim) -> None:
        """Record that the message was delivered."""
        labour(self.work)
        settlement = Settlement(claim, [Verdict(0, TOOK)], time.time())
        self.queue.settle(settlement).addCallbacks(self.settled, self.done)

    def settled(self, kept: Any) -> None:
        """Count it."""
        assert kept
        self.open -= 1
        if self.open == 0:
            self.done(None)


def labour(seconds: float) -> None:
    """Use the CPU in pieces of 20 us, with a system call that gives up the interpreter's lock after each."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        piece = time.thread_time() + 20e-6
        while time.thread_time() < piece:
            pass
        os.write(NULL, b"x")


NULL = os.open(os.devnull, os.O_WRONLY)
