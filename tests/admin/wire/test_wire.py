"""Values as JSON objects and as parameters, and back: nothing is lost but fractions of seconds."""

import json
import math
from dataclasses import fields, replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.admin.state import (
    About,
    DestinationState,
    DoctorRun,
    LoggedEvent,
    Order,
    OrderResult,
    RuleState,
    SettingState,
    TrafficMinute,
)
from mta.admin.wire import findings, messages, questions, relay
from mta.admin.wire.fields import WireError
from mta.doctor.findings import Finding, Level
from mta.event_log.lines import render_json
from mta.queue.entries import (
    Action,
    AttemptRecord,
    DomainShape,
    Entry,
    Ledger,
    Query,
    RecipientState,
    Status,
    Summary,
)
from mta.queue.ids import created as made_at
from mta.queue.ids import first_number, to_id
from mta.queue.interface import QueueId
from mta.queue.search.conditions import Conditions, State

NOW = 1_795_348_800.0
_text = st.text(max_size=20)
_word = st.text(min_size=1, max_size=20)
_count = st.integers(0, 1 << 40)
_time = st.integers(0, 253402300799).map(float)
_maybe_time = st.none() | _time
_seconds = st.floats(0, 1e6)
_id = st.integers(0, (1 << 63) - 1).map(to_id)
_attempt = st.builds(AttemptRecord, _time, _text, _text, _text, _text, _seconds, _seconds)
_finding = st.builds(Finding, _word, st.sampled_from(Level), _text, _text, st.lists(_text, max_size=2).map(tuple))
_recipient = st.builds(
    RecipientState,
    address=_text,
    status=st.sampled_from(Status),
    attempts=_count,
    due=_maybe_time,
    reply=_text,
    host=_text,
    finished=_maybe_time,
    signed_by=_text,
    way=_text,
    attempts_made=st.lists(_attempt, max_size=2).map(tuple),
)


def _releases(id: QueueId) -> st.SearchStrategy[float]:
    """Return times for which a client may have this message wait."""
    made = math.ceil(made_at(id))
    return st.integers(made + 60, made + 30 * 86_400).map(float)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    held, claimed = draw(st.booleans()), draw(st.booleans())
    recipients = draw(st.lists(_recipient, min_size=1, max_size=3))
    if held or claimed:
        recipients = [replace(each, due=None) for each in recipients]
    id = draw(_id)
    return Entry(
        id,
        draw(_text),
        draw(_count),
        draw(_time | _releases(id)),
        draw(_text),
        held,
        claimed,
        tuple(recipients),
        draw(_maybe_time),
        draw(_maybe_time),
        *(draw(_text) for _ in range(6)),
        draw(st.none() | _id),
        tuple(draw(st.lists(_id, max_size=2))),
    )


def sent(value: Any) -> Any:
    """Return a JSON object as the other side reads it."""
    return json.loads(json.dumps(value))


@given(entries())
def test_a_message_comes_back_as_it_was(entry: Entry) -> None:
    assert messages.read_entry(sent(messages.entry_object(entry))) == entry
    assert messages.read_entry(sent(messages.entry_object(entry, "the rate"))) == entry


def test_a_message_that_waits_for_its_release_has_that_time_beside_its_arrival() -> None:
    entry = Entry(to_id(first_number(NOW)), "", 99, NOW + 3600, "192.0.2.1", False, False, ())
    item = messages.entry_object(entry)
    assert (item["created"], item["release"]) == ("2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z")
    at_once = messages.entry_object(replace(entry, created=NOW + 1))
    assert (at_once["created"], at_once["release"]) == ("2026-11-22T12:00:01Z", None)


_ledger = st.builds(Ledger, _count, _count, _count, _count, _count)
_statuses = st.fixed_dictionaries(dict.fromkeys(Status, _count))


@given(st.builds(Summary, _count, _count, _count, _maybe_time, _statuses, _ledger, _count, _count, _count))
def test_a_summary_comes_back_as_it_was(summary: Summary) -> None:
    assert messages.read_summary(sent(messages.summary_object(summary))) == summary


_ages = st.lists(_count, min_size=5, max_size=5).map(tuple)


@given(st.builds(DomainShape, _text, _count, _count, _count, _time, _ages, _text, _text))
def test_a_domain_comes_back_as_it_was(shape: DomainShape) -> None:
    assert messages.read_shape(sent(messages.shape_object(shape))) == shape


_field = st.text(min_size=1, max_size=10).filter(lambda name: name not in {"time", "event", "level"})
_event = st.builds(LoggedEvent, _time, _word, st.dictionaries(_field, _text | _count | _seconds, max_size=4))
_order = st.builds(
    Order,
    st.sampled_from(Action),
    st.none() | st.lists(_id, unique=True, max_size=4).map(tuple),
    _text,
    _text,
    _text,
)
_destination = st.builds(
    DestinationState,
    _word,
    _count,
    _count,
    _count,
    _count,
    st.none() | _seconds,
    st.booleans(),
    _maybe_time,
    _text,
    _count,
    *(st.lists(_text, max_size=2).map(tuple) for _ in range(3)),
    _text,
    st.none() | _count,
    st.none() | _count,
)
_PAIRS: list[tuple[Any, Any, Any]] = [
    (st.builds(About, _text, _text, _maybe_time, _count, _text), relay.about_object, relay.read_about),
    (_destination, relay.destination_object, relay.read_destination),
    (st.builds(SettingState, _word, _text, _text), relay.setting_object, relay.read_setting),
    (st.builds(RuleState, _text, _text, _text), relay.rule_object, relay.read_rule),
    (_event, relay.event_object, relay.read_event),
    (
        st.builds(DoctorRun, _time, st.lists(_finding, max_size=2).map(tuple)),
        findings.run_object,
        findings.read_run,
    ),
    (
        st.none() | st.builds(DoctorRun, _time, st.lists(_finding, max_size=2).map(tuple)),
        findings.last_run_object,
        findings.read_last_run,
    ),
    (st.builds(TrafficMinute, _time, _count, _count, _count, _count), relay.minute_object, relay.read_minute),
    (_order, relay.order_object, relay.read_order),
    (st.builds(OrderResult, st.lists(_id).map(tuple), _count, _count, _text), relay.result_object, relay.read_result),
]


@given(st.data())
def test_the_other_values_come_back_as_they_were(data: st.DataObject) -> None:
    for strategy, write, read in _PAIRS:
        value = data.draw(strategy)
        assert read(sent(write(value))) == value


def test_an_event_is_the_line_of_a_log_in_json() -> None:
    event = LoggedEvent(NOW + 0.25, "delivered", {"id": "0gqw5z6cn4j0y", "tls": None, "total": 0.5})
    assert relay.event_object(event) == json.loads(render_json(event.time, event.name, event.fields))  # type: ignore[arg-type]
    assert relay.read_event(relay.event_object(event)).time == event.time


@given(
    st.builds(
        Conditions,
        words=st.lists(_word, max_size=3).map(tuple),
        ids=st.lists(st.text("0123456789abc", min_size=1, max_size=13), max_size=3).map(tuple),
        sender=st.just("<>") | _text,
        recipient=_text,
        domain=_text.map(str.strip),
        subject=_text.map(str.strip),
        message_id=_text,
        client=_text.map(str.strip),
        login=_text.map(str.strip),
        host=_text.map(str.strip),
        reply=_text.map(str.strip),
        states=st.lists(st.sampled_from(State), max_size=3).map(tuple),
        since=_maybe_time,
        until=_maybe_time,
        larger=st.none() | st.integers(0, 1 << 39) | st.integers(0, 1 << 39).map(lambda number: number << 30),
    )
)
def test_conditions_come_back_as_they_were(conditions: Conditions) -> None:
    texts = (*conditions.words, *(getattr(conditions, name) for name in questions.TEXTS.values()))
    if any("\0" in text for text in texts):
        return
    assert questions.read_words(questions.condition_words(conditions), NOW) == conditions


def test_a_time_that_no_message_has_finds_the_same_messages() -> None:
    words = questions.condition_words(Conditions(since=1e15, until=-5.0))
    assert questions.read_words(words, NOW) == Conditions(since=253402300799.0, until=0.0)


@given(
    st.builds(
        Query,
        ids=st.lists(_id, unique=True, max_size=3).map(tuple),
        finished=st.booleans(),
        limit=st.integers(1, questions.MAX_PAGE),
        newest_first=st.booleans(),
        before=st.none() | _id,
        after=st.none() | _id,
        details=st.booleans(),
    )
)
def test_a_query_comes_back_as_it_was(query: Query) -> None:
    assert questions.read_query(questions.query_words(query), NOW) == query


def test_the_parameters_have_all_of_a_query() -> None:
    assert len(questions.PARAMETERS) + 1 == len(fields(Query))
    assert questions.read_query({}, NOW) == Query(finished=True, limit=100, newest_first=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"colour": ["red"]}, "there is no parameter 'colour'"),
        ({"to": ["a", "b"]}, "to: given too often"),
        ({"limit": ["0"]}, "limit: '0' is not a number from 1 to 1000"),
        ({"limit": ["1001"]}, "limit: '1001' is not a number from 1 to 1000"),
        ({"limit": ["\u0663"]}, "limit: '\u0663' is not a number from 1 to 1000"),
        ({"order": ["up"]}, "order: 'up' is not newest or oldest"),
        ({"history": ["yes", "no"]}, "history: given too often"),
        ({"before": ["xyz"]}, "not a queue id: 'xyz'"),
        ({"message": [to_id(1)] * 501}, "message: more than 500 ids"),
    ],
)
def test_parameters_that_are_wrong_are_told(words: dict[str, list[str]], told: str) -> None:
    with pytest.raises(WireError, match=f"^{told}"):
        questions.read_query(words, NOW, UTC)


_ORDER = {"action": "hold", "ids": [to_id(1)]}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "an order is not a JSON object"),
        ({**_ORDER, "action": "lose"}, "action of an order is not one of retry, remove, "),
        ({"action": "hold"}, "an order has no ids; null is all messages"),
        ({**_ORDER, "ids": "all"}, "ids of an order is not a list"),
        ({**_ORDER, "ids": [1]}, "id of a message is not a text"),
        ({**_ORDER, "ids": [to_id(1)] * (relay.MAX_IDS + 1)}, "an order has more than 100000 ids"),
        ({**_ORDER, "by": "x" * 1001}, "by of an order is longer than 1000 characters"),
        ({**_ORDER, "to": 5}, "to of an order is not a text"),
    ],
)
def test_an_order_that_is_wrong_is_told(value: object, told: str) -> None:
    with pytest.raises(WireError, match=f"^{told}"):
        relay.read_order(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_any_other_value_raises_no_other_error(value: object) -> None:
    for read in (messages.read_entry, messages.read_summary, messages.read_shape, *(pair[2] for pair in _PAIRS)):
        for given_value in (value, dict.fromkeys(("time", "size", "ids", "recipients", "ledger", "name"), value)):
            try:
                read(given_value)
            except WireError:
                continue
