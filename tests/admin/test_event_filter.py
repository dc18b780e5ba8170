"""The filter of events: each condition by the fields of the event, and by what earlier events told."""

from typing import Any

import pytest

from mta.admin.event_filter import MAX_KNOWN, EventFilter, state_of
from mta.admin.state import LoggedEvent
from mta.queue.ids import to_id
from mta.queue.interface import QueueId
from mta.queue.search.conditions import ANY, Conditions, State

NOON = 1_795_348_800.0
ID, OTHER = (to_id(int((NOON + seconds) * 1_000_000) << 10) for seconds in (0, 60))


def event(name: str, id: QueueId = ID, **fields: Any) -> LoggedEvent:
    return LoggedEvent(NOON, name, {"id": id, **{key.replace("_", "-").strip("-"): fields[key] for key in fields}})


def accepted(id: QueueId = ID, sender: str = "<shop@example.org>", **fields: Any) -> LoggedEvent:
    return event("accepted", id, **{"from_": sender, "client": "192.0.2.9", "size": 4321, "user": "shop", **fields})


def delivered(id: QueueId = ID, to: str = "<Bob@example.net>") -> LoggedEvent:
    return event("delivered", id, to=to, host="mx.example.net[192.0.2.1]:25", reply="250 2.0.0 Ok")


@pytest.mark.parametrize(
    ("conditions", "passes"),
    [
        (ANY, True),
        (Conditions(recipient="bob@example.net"), True),
        (Conditions(recipient="*@example.net"), True),
        (Conditions(recipient="ann@example.net"), False),
        (Conditions(domain="EXAMPLE.net"), True),
        (Conditions(domain="example.org"), False),
        (Conditions(host="192.0.2.1"), True),
        (Conditions(host="192.0.2.2"), False),
        (Conditions(reply="2.0.0"), True),
        (Conditions(reply="5.1.1"), False),
        (Conditions(states=(State.DELIVERED,)), True),
        (Conditions(states=(State.WAITING, State.FAILED)), False),
        (Conditions(ids=(ID[:6],)), True),
        (Conditions(ids=(ID.upper(),)), True),
        (Conditions(ids=("7zzz", ID)), True),
        (Conditions(ids=(OTHER,)), False),
        (Conditions(since=NOON), True),
        (Conditions(since=NOON + 1), False),
        (Conditions(until=NOON), False),
        (Conditions(until=NOON + 1), True),
        (Conditions(words=("bob",)), True),
        (Conditions(words=(ID,)), True),
        (Conditions(words=("bob", "ann")), False),
        (Conditions(sender="shop@example.org"), False),
        (Conditions(subject="offer"), False),
        (Conditions(message_id="1@example.org"), False),
    ],
)
def test_a_delivery_meets_the_conditions_on_its_fields(conditions, passes):
    assert EventFilter(conditions).passes(delivered()) is passes


@pytest.mark.parametrize(
    ("conditions", "passes"),
    [
        (Conditions(sender="shop@example.org"), True),
        (Conditions(sender="*@EXAMPLE.org"), True),
        (Conditions(sender="<>"), False),
        (Conditions(client="192.0.2.*"), True),
        (Conditions(client="192.0.2.8"), False),
        (Conditions(login="shop"), True),
        (Conditions(login="crm"), False),
        (Conditions(larger=4000), True),
        (Conditions(larger=4321), False),
        (Conditions(states=(State.WAITING,)), True),
        (Conditions(recipient="bob@example.net"), False),
    ],
)
def test_an_acceptance_meets_the_conditions_on_its_fields(conditions, passes):
    assert EventFilter(conditions).passes(accepted()) is passes


def test_later_events_of_a_message_that_met_the_conditions_are_found():
    wanted = EventFilter(Conditions(sender="shop@example.org", domain="example.net"))
    assert not wanted.passes(accepted()), "it names no recipient"
    assert not wanted.passes(accepted(OTHER, "<crm@example.org>"))
    assert wanted.passes(delivered())
    assert not wanted.passes(delivered(to="<bob@example.com>"))
    assert not wanted.passes(delivered(OTHER))


def test_messages_that_the_caller_knows_meet_conditions_that_no_event_tells_of():
    wanted = EventFilter(Conditions(subject="offer"), [ID])
    assert wanted.passes(delivered())
    assert not wanted.passes(delivered(OTHER))


def test_the_null_sender_and_events_without_a_sender_differ():
    wanted = EventFilter(Conditions(sender="<>"))
    assert not wanted.passes(delivered())
    assert wanted.passes(accepted(sender="<>"))


def test_an_event_of_no_message_is_found_by_its_fields():
    refused = LoggedEvent(NOON, "refused", {"client": "192.0.2.9", "from": "<a@b.test>", "to": "<x@y.test>"})
    assert EventFilter(Conditions(client="192.0.2.9")).passes(refused)
    assert EventFilter(Conditions(recipient="x@y.test")).passes(refused)
    assert not EventFilter(Conditions(ids=(ID,))).passes(refused)
    assert not EventFilter(Conditions(states=(State.WAITING,))).passes(refused)


def test_an_order_on_many_messages_and_a_report_are_events_of_each():
    amended = LoggedEvent(NOON, "amended", {"change": "hold", "ids": f"{OTHER},{ID}"})
    assert EventFilter(Conditions(ids=(ID,))).passes(amended)
    assert EventFilter(Conditions(ids=(OTHER,))).passes(event("reported", ID, report=OTHER, to="<shop@example.org>"))


@pytest.mark.parametrize(
    ("name", "fields", "state"),
    [
        ("accepted", {}, State.WAITING),
        ("accepted", {"held": "yes"}, State.HELD),
        ("deferred", {}, State.WAITING),
        ("failed", {}, State.FAILED),
        ("discarded", {}, State.REMOVED),
        ("amended", {"change": "hold"}, State.HELD),
        ("amended", {"change": "remove"}, State.REMOVED),
        ("amended", {"change": "bounce"}, State.FAILED),
        ("amended", {"change": "release"}, State.WAITING),
    ],
)
def test_the_state_after_an_event(name, fields, state):
    assert state_of(LoggedEvent(NOON, name, fields)) is state


def test_the_messages_that_are_remembered_are_bounded():
    wanted = EventFilter(Conditions(sender="shop@example.org"))
    ids = [to_id(number << 10) for number in range(1, MAX_KNOWN + 2)]
    for id in ids:
        assert wanted.passes(accepted(id))
    assert wanted.passes(delivered(ids[-1]))
    assert not wanted.passes(delivered(ids[0]))
