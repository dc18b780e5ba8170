"""A relay with a queue, whose page the tests ask."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mta.admin.feed import Feed
from mta.admin.state import Order, TrafficMinute
from mta.blocking import run_inline
from mta.config.settings import read_settings
from mta.daemon.parts.admin import AskedRelay, OwnState
from mta.event_log.log import EventLog
from mta.queue.interface import Action, Claim, Description, NewMail, Query, QueueId, Settlement, Status, Verdict
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.rules.book import CurrentRules
from tests.admin.page.browser import MemoryBrowser, PageUnderTest
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, mail

SECRET = "smarthost-password"  # noqa: S105


def now(deferred: "Deferred[Any]") -> Any:
    """Return the result of a Deferred that has one."""
    results: list[Any] = []
    deferred.addCallback(results.append)
    return results[0]


class Delivery:
    """A delivery without destinations."""

    def destinations(self) -> tuple[()]:
        return ()

    def waits_for(self, id: QueueId) -> str:
        return "the rate of 30-pace.toml:1" if id else ""


class Traffic:
    """One minute with mail."""

    def since(self, when: float) -> list[TrafficMinute]:
        return [TrafficMinute(NOW - 7200, 1234, 1200, 30, 4)]


@dataclass
class RelayUnderTest:
    """A relay and its queue."""

    queue: SqliteQueue
    state: OwnState
    feed: Feed
    directory: Path
    orders: list[Order] = field(default_factory=list)

    def add(self, *recipients: str, subject: str = "hi", held: bool = False, **parts: Any) -> QueueId:
        new = mail(*recipients, held=held, **parts)
        described = NewMail(new.id, new.envelope, new.body, held, Description("x@example.org", subject))
        now(self.queue.add(described, NOW - 60, due=NOW + 60))
        return new.id

    def finish(self, outcome: object, *recipients: str) -> QueueId:
        new = mail(*recipients)
        claim: Claim = now(self.queue.add(new, NOW - 60, lease=LEASE))
        due = NOW + 900 if outcome is LATER else None
        now(self.queue.settle(Settlement(claim, [Verdict(0, outcome, due=due)], NOW - 30)))  # type: ignore[arg-type]
        return new.id

    def delivered(self, *recipients: str) -> QueueId:
        return self.finish(TOOK, *recipients)

    def failed(self, *recipients: str) -> QueueId:
        return self.finish(NEVER, *recipients)

    def status(self, id: QueueId) -> Status:
        (entry,) = now(self.queue.find(Query([id], finished=True)))
        return Status(entry.recipients[0].status)

    def held(self, id: QueueId) -> bool:
        (entry,) = now(self.queue.find(Query([id], finished=True)))
        return bool(entry.held)

    def ordered(self) -> list[tuple[Action, tuple[QueueId, ...], str]]:
        return [(each.action, each.ids or (), each.by) for each in self.orders]


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayUnderTest]:
    """Return a relay with an empty queue."""
    directory = tmp_path / "queue"
    environ = {
        "MAILNAME": "relay.example.org",
        "QUEUE_DIR": str(directory),
        "NET_DEV": "none0",
        "ALLOWED_SENDERS": "example.com",
        "SMARTHOST_ADDRESS": "smtp.example.net::587",
        "SMARTHOST_USER": "relay",
        "SMARTHOST_PASSWORD": SECRET,
    }
    settings = read_settings(environ)
    queue = open_queue(directory, run=run_inline, now=NOW)
    feed = Feed(lambda _: lambda: None)
    orders: list[Order] = []
    asked = AskedRelay(
        settings,
        queue,
        Delivery(),
        CurrentRules(settings.rules),
        EventLog(lambda _: None, lambda: NOW),
        lambda order, _: orders.append(order),
        lambda: NOW,
        feed,
        Traffic(),
    )
    yield RelayUnderTest(queue, OwnState(asked), feed, directory, orders)
    now(queue.close())


@pytest.fixture
def page(relay: RelayUnderTest) -> PageUnderTest:
    """Return its page, on a loopback address and without a password."""
    return PageUnderTest(relay.state, NOW)


@pytest.fixture
def browser(page: PageUnderTest) -> MemoryBrowser:
    """Return a browser for it."""
    return MemoryBrowser(page)
