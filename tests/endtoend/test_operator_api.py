"""The API of the real relay: of one process, and of the parent of workers, which shows and orders all of their mail."""

import json
import socket
import subprocess
from typing import Any

import pytest

from harness.daemon import Daemon
from harness.sink_rules import Rule
from harness.waiting import until
from mta.admin.client.client_state import client_of
from mta.admin.state import Order
from mta.cli.results import answer
from mta.queue.entries import Action, Query
from mta.queue.search.conditions import Conditions
from tests.endtoend.mails import mail
from tests.endtoend.world import TO

LATER = Rule("RCPT", "451 4.3.0 come back")
MESSAGES = 12


@pytest.fixture(params=["1", "2", "4"])
def relay(request: pytest.FixtureRequest, world: Any) -> Daemon:
    """Return a relay with some messages that wait for an hour, spread over its workers."""
    relay: Daemon = world.relay(world.sink(LATER), RETRY_SCHEDULE="F,1h,30m", WORKERS=request.param)
    relay.wait_for_events("started")
    clients = [relay.client() for _ in range(MESSAGES)]
    for number, client in enumerate(clients):
        client.sendmail("app@example.org", [TO], mail(str(number)))
        client.quit()
    until(lambda: len(relay.events("deferred")) == MESSAGES, what="the first attempts")
    return relay


def test_all_mail_is_found_and_ordered_as_that_of_one_relay(relay: Daemon) -> None:
    state = client_of(relay.queue_dir)
    about = answer(state.about())
    assert about.workers == int(relay.environment["WORKERS"])
    ids = answer(state.select(Conditions()))
    assert len(ids) == MESSAGES == answer(state.count(Conditions(sender="app@example.org")))
    assert [entry.id for entry in answer(state.find(Query()))] == ids
    assert answer(state.summary()).messages == MESSAGES
    (shape,) = answer(state.domains())
    assert shape.waiting == MESSAGES
    assert b"Subject" in (answer(state.content(ids[0])) or b"")
    (destination,) = answer(state.destinations())
    assert destination.failures == 0
    assert {each.name for each in answer(state.settings())} >= {"WORKERS", "RETRY_SCHEDULE"}
    held = answer(state.order(Order(Action.HOLD, tuple(ids[:6]), "alice")))
    assert held.ids == tuple(ids[:6])
    assert answer(state.order(Order(Action.RETRY, None, "alice"))).held == 6
    until(lambda: len(relay.events("deferred")) == 2 * MESSAGES - 6, what="the second attempts")
    returned = answer(state.order(Order(Action.BOUNCE, tuple(ids[:2]), "alice")))
    assert (returned.ids, returned.unreported) == (tuple(ids[:2]), 0)
    until(lambda: len(relay.events("reported")) == 2, what="the reports")
    # The reports fail too, because their recipient's domain does not exist.
    assert {each["id"] for each in relay.events("failed")} >= set(ids[:2])
    told = [(each["change"], id) for each in relay.events("amended") for id in each["ids"].split(",")]
    assert sorted(told) == sorted(
        [("hold", id) for id in ids[:6]] + [("retry", id) for id in ids[6:]] + [("bounce", id) for id in ids[:2]]
    )
    assert relay.events("fault") == []


def test_events_of_all_workers_are_followed_as_they_happen(relay: Daemon) -> None:
    state = client_of(relay.queue_dir)
    ids = answer(state.select(Conditions()))
    with state.events() as events:
        answer(state.order(Order(Action.REMOVE, tuple(ids), "alice")))
        seen: set[str] = set()
        while seen != set(ids):
            event = next(events)
            if event is not None and event.name == "amended":
                seen.update(str(event.fields["ids"]).split(","))
    assert relay.stop() == 0


def test_curl_asks_as_the_docs_say(relay: Daemon) -> None:
    path = relay.queue_dir / "control"
    command = ["curl", "-sS", "--fail", "--unix-socket", str(path), "http://localhost/api/v1/messages?limit=2"]
    said = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30)
    found = json.loads(said.stdout)
    assert len(found["messages"]) == 2
    assert found["next"] == found["messages"][1]["id"]


def test_a_relay_that_stops_ends_its_streams(relay: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(relay.queue_dir / "control"))
        client.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
        assert relay.stop() == 0
        while client.recv(1000):
            pass
    assert not (relay.queue_dir / "control").exists()
