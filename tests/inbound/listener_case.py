"""The base class of tests against the whole listening side on a transport in memory."""

from twisted.trial.unittest import SynchronousTestCase

from mta.inbound.limits import InboundLimits
from mta.queue.memory import MemoryQueue
from mta.rules.book import RuleBook
from mta.smtp.limits import SmtpLimits
from tests.drivers.listener import Listening, Wire

GREET = "EHLO app.test"
MAIL = "MAIL FROM:<alice@a.test>"
RCPT = "RCPT TO:<bob@b.test>"


AnyLimits = InboundLimits | SmtpLimits


def listen(rules: RuleBook, **options: object) -> Listening:
    """Return a listening side with rules."""
    return Listening(rules=rules, **options)  # type: ignore[arg-type]


def greet(listening: Listening, address: str = "127.0.0.1") -> Wire:
    """Connect a client that has said EHLO."""
    wire = listening.connect(address)
    wire.say(GREET)
    return wire


class ListenerCase(SynchronousTestCase):
    """Makes the listening side and its clients."""

    def listen(
        self,
        limits: AnyLimits | None = None,
        queue: MemoryQueue | None = None,
        *,
        starttls: bool = False,
    ) -> Listening:
        self.listening = Listening(limits, queue, starttls=starttls)
        return self.listening

    def wire(self, limits: AnyLimits | None = None, queue: MemoryQueue | None = None) -> Wire:
        return self.listen(limits, queue).connect()

    def start_body(self, wire: Wire) -> None:
        wire.say(GREET, MAIL, RCPT)
        assert wire.say("DATA").startswith("354")
