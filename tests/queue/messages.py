"""Messages, outcomes and times for the tests of the queue."""

import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mta.message.body import Body, MemoryBody
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered, Discarded, Failed, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import NewMail, QueueId
from mta.smtp.address import parse_address

NOW = 1_700_000_000.0
LEASE = 600.0
_ids = IdSource(7)

TOOK = Delivered("250 2.0.0 Ok: queued as 1A", "mx.example.test[192.0.2.1]:25")
LATER = TryLater("451 4.7.1 Greylisted", "mx.example.test[192.0.2.1]:25")
GONE = Discarded("20-routes.toml:3")
NEVER = Failed("550 5.1.1 No such user", "mx.example.test[192.0.2.1]:25")


def envelope(*recipients: str | Recipient, sender: str | None = "alice@example.org", login: str = "") -> Envelope:
    return Envelope(
        sender=None if sender is None else parse_address(sender),
        recipients=tuple(
            one if isinstance(one, Recipient) else Recipient(parse_address(one))
            for one in recipients or ("bob@example.test",)
        ),
        origin=Origin("192.0.2.7", "client.example.org", "ESMTP", login),
    )


def mail(
    *recipients: str | Recipient,
    body: Body | bytes = b"Subject: hi\r\n\r\nhello\r\n",
    held: bool = False,
    **parts: Any,
) -> NewMail:
    content = MemoryBody(body) if isinstance(body, bytes) else body
    return NewMail(_ids.new(NOW), envelope(*recipients, **parts), content, held)


def scratch(case: SynchronousTestCase) -> Path:
    """Return a path where nothing is yet, in a directory that goes with the test."""
    directory = tempfile.TemporaryDirectory(prefix="smtprelay-test-")
    case.addCleanup(directory.cleanup)
    return Path(directory.name) / "scratch"


def octets(body: Body) -> bytes:
    return b"".join(body.chunks())


def new_id() -> QueueId:
    return _ids.new(NOW)
