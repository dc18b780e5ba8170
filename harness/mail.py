"""Messages for tests, made from few words."""

from mta.message.body import MemoryBody
from mta.message.envelope import Envelope, Origin, Recipient
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, NewMail, Pending
from mta.smtp.address import parse_address

ORIGIN = Origin("127.0.0.1", "app.test", "ESMTP")
BODY = b"From: <alice@a.test>\r\nMessage-ID: <1@a.test>\r\nSubject: hello\r\n\r\nHello, Bob.\r\n"
IDS = IdSource(tag=7)


def envelope(*recipients: str | Recipient, sender: str | None = "alice@a.test") -> Envelope:
    listed = tuple(Recipient(parse_address(each)) if isinstance(each, str) else each for each in recipients)
    return Envelope(None if sender is None else parse_address(sender), listed, ORIGIN)


def mail(*recipients: str | Recipient, sender: str | None = "alice@a.test", body: bytes = BODY) -> NewMail:
    return NewMail(IDS.new(1_000_000.0), envelope(*recipients, sender=sender), MemoryBody(body))


def claim(*recipients: str | Recipient, sender: str | None = "alice@a.test", created: float = 1_000_000.0) -> Claim:
    new = mail(*recipients, sender=sender)
    pending = tuple(Pending(index, each) for index, each in enumerate(new.envelope.recipients))
    return Claim(new.id, 1, new.envelope, new.body, created, pending)
