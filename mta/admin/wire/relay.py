"""The relay itself, its destinations, settings, rules, events and orders as JSON objects, and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mta.admin.state import (
    About,
    DestinationState,
    LoggedEvent,
    Order,
    OrderResult,
    RuleState,
    SettingState,
    TrafficMinute,
)
from mta.admin.wire.fields import Fields, JsonObject, WireError, exact_time_text, time_text
from mta.admin.wire.messages import read_id
from mta.event_log.levels import level_of
from mta.queue.entries import Action, QueueId

#: Messages that one order may name.
MAX_IDS = 100_000
_MAX_WORD = 1000


def about_object(about: About) -> JsonObject:
    """Return the JSON object of a relay."""
    return {**asdict(about), "started": time_text(about.started)}


def read_about(value: object) -> About:
    """Return the relay of a JSON object. Raises WireError."""
    fields = Fields(value, "a relay")
    return About(
        version=fields.text("version"),
        name=fields.text("name"),
        started=fields.optional("started", fields.time),
        workers=fields.whole("workers"),
        queue_dir=fields.text("queue_dir"),
    )


def destination_object(destination: DestinationState) -> JsonObject:
    """Return the JSON object of a destination."""
    told = {
        "blocked_until": time_text(destination.blocked_until),
        "blocked_because": destination.blocked_because or None,
        "throttled_because": destination.throttled_because or None,
    }
    return {**asdict(destination), **told}


def read_destination(value: object) -> DestinationState:
    """Return the destination of a JSON object. Raises WireError."""
    fields = Fields(value, "a destination")
    return DestinationState(
        name=fields.word("name"),
        waiting=fields.whole("waiting"),
        connections=fields.whole("connections"),
        busy=fields.whole("busy"),
        window=fields.whole("window"),
        pace=fields.optional("pace", fields.number),
        throttled=fields.flag("throttled"),
        blocked_until=fields.optional("blocked_until", fields.time),
        blocked_because=fields.text("blocked_because"),
        failures=fields.whole("failures"),
        hosts=fields.texts("hosts"),
        passed_over=fields.texts("passed_over"),
        domains=fields.texts("domains"),
        throttled_because=fields.text("throttled_because"),
        most_recipients=fields.optional("most_recipients", fields.whole),
        most_messages=fields.optional("most_messages", fields.whole),
    )


def setting_object(setting: SettingState) -> JsonObject:
    """Return the JSON object of a setting."""
    return {"name": setting.name, "value": setting.value, "origin": setting.origin or None}


def read_setting(value: object) -> SettingState:
    """Return the setting of a JSON object. Raises WireError."""
    fields = Fields(value, "a setting")
    return SettingState(fields.word("name"), fields.text("value"), fields.text("origin"))


def rule_object(rule: RuleState) -> JsonObject:
    """Return the JSON object of a rule."""
    return {"place": rule.place, "stage": rule.stage, "text": rule.text}


def read_rule(value: object) -> RuleState:
    """Return the rule of a JSON object. Raises WireError."""
    fields = Fields(value, "a rule")
    return RuleState(fields.text("place"), fields.text("stage"), fields.text("text"))


def event_object(event: LoggedEvent) -> JsonObject:
    """Return the JSON object of an event, as in a log with LOG_FORMAT=json."""
    known = {name: value for name, value in event.fields.items() if value is not None}
    return {"time": exact_time_text(event.time), "event": event.name, "level": level_of(event.name), **known}


def read_event(value: object) -> LoggedEvent:
    """Return the event of a JSON object. Raises WireError."""
    fields = Fields(value, "an event")
    return LoggedEvent(fields.time("time"), fields.word("event"), fields.others("time", "event", "level"))


def minute_object(minute: TrafficMinute) -> JsonObject:
    """Return the JSON object of a minute."""
    return {**asdict(minute), "time": time_text(minute.time)}


def read_minute(value: object) -> TrafficMinute:
    """Return the minute of a JSON object. Raises WireError."""
    fields = Fields(value, "a minute")
    counts = (fields.whole(name) for name in ("accepted", "delivered", "failed", "removed"))
    return TrafficMinute(fields.time("time"), *counts)


def order_object(order: Order) -> JsonObject:
    """Return the JSON object of an order."""
    return {
        "action": order.action.value,
        "ids": None if order.ids is None else list(order.ids),
        "by": order.by or None,
        "recipient": order.recipient or None,
        "to": order.to or None,
    }


def read_order(value: object) -> Order:
    """Return the order of a JSON object. Raises WireError.

    `"ids": null` is all messages; an order without `ids` is refused.
    """
    fields = Fields(value, "an order")
    for name in ("by", "recipient", "to"):
        if len(fields.text(name)) > _MAX_WORD:
            raise WireError(f"{name} of an order is longer than {_MAX_WORD} characters")
    return Order(
        action=_read_action(fields.text("action")),
        ids=_read_ids(fields, value),
        by=fields.text("by"),
        recipient=fields.text("recipient"),
        to=fields.text("to"),
    )


def read_order_request(value: object) -> tuple[Order, dict[str, list[str]] | None]:
    """Return the order of a request, and the conditions that it may have in place of ids. Raises WireError.

    `conditions` is an object of parameters, each with a text or a list of texts.
    """
    if not isinstance(value, Mapping) or "conditions" not in value:
        return read_order(value), None
    if "ids" in value:
        raise WireError("an order has ids or conditions, not both")
    given = Fields(value, "an order").inner("conditions").others()
    conditions: dict[str, list[str]] = {}
    for name, texts in given.items():
        several: list[Any] = texts if isinstance(texts, list) else [texts]
        if not all(isinstance(text, str) for text in several):
            raise WireError(f"{name} of conditions is not a text or a list of texts")
        conditions[name] = several
    if not any(text.strip() for texts in conditions.values() for text in texts):
        raise WireError("an order with conditions has none: null as ids is all messages")
    return read_order({**value, "ids": []}), conditions


def _read_action(text: str) -> Action:
    try:
        return Action(text)
    except ValueError:
        known = ", ".join(action.value for action in Action)
        raise WireError(f"action of an order is not one of {known}") from None


def _read_ids(fields: Fields, value: Any) -> tuple[QueueId, ...] | None:
    assert isinstance(value, Mapping)
    if "ids" not in value:
        raise WireError("an order has no ids; null is all messages")
    if value["ids"] is None:
        return None
    ids = fields.items("ids", read_id)
    if len(ids) > MAX_IDS:
        raise WireError(f"an order has more than {MAX_IDS} ids: give several orders")
    return tuple(dict.fromkeys(ids))


def result_object(result: OrderResult) -> JsonObject:
    """Return the JSON object of the result of an order."""
    return {
        "ids": list(result.ids),
        "held": result.held,
        "unreported": result.unreported,
        "failure": result.failure or None,
    }


def read_result(value: object) -> OrderResult:
    """Return the result of a JSON object. Raises WireError."""
    fields = Fields(value, "a result")
    return OrderResult(
        fields.items("ids", read_id), fields.whole("held"), fields.whole("unreported"), fields.text("failure")
    )
