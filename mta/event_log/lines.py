"""Renders an event as a line of the log, as text or as JSON."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from mta.event_log.levels import level_of
from mta.event_log.repeats import Field
from mta.message.dates import timestamp
from mta.remembered import Remembered

Render = Callable[[float, str, Mapping[str, Field]], str]

#: The number of fields that the log always gives to these events. They come first, but `reply` is the last one of a
#: delivery. The id needs no quotes.
ACCEPTED_FIELDS, DELIVERED_FIELDS = 6, 8
# Values that follow `key=` unquoted; all others are quoted as JSON, which escapes line breaks and controls.
_BARE = re.compile(r"[!#-\[\]-~]+")


def _bare(value: str) -> str:
    """Quote a value if needed."""
    return value if _BARE.fullmatch(value) else json.dumps(value)


#: The digits of floats, as text and JSON have them. Remembered, because durations repeat, and digits cost.
SECONDS_TEXT: Remembered[float, str] = Remembered(repr, 4096)
# Hosts, names and replies repeat from message to message.
_BARE_TEXT: Remembered[str, str] = Remembered(_bare, 1024)


def render_text(now: float, event: str, fields: Mapping[str, Field]) -> str:
    """Render an event as one line of text, for people and for grep."""
    line = _LINE_OF.get(event)
    return f"{timestamp(now)} {event}{_shown(fields.items())}\n" if line is None else line(now, fields)


def _shown(fields: Iterable[tuple[str, Field]]) -> str:
    return "".join([f" {name}={_text(value)}" for name, value in fields if value is not None])


def _text(value: str | float) -> object:
    if type(value) is str:
        return _BARE_TEXT[value]
    return SECONDS_TEXT[value] if type(value) is float else value


def _accepted(now: float, fields: Mapping[str, Any]) -> str:
    more = "" if len(fields) == ACCEPTED_FIELDS else _shown(islice(fields.items(), ACCEPTED_FIELDS, None))
    return (
        f"{timestamp(now)} accepted id={fields['id']} client={_BARE_TEXT[fields['client']]}"
        f" helo={_BARE_TEXT[fields['helo']]} from={_BARE_TEXT[fields['from']]}"
        f" recipients={fields['recipients']} size={fields['size']}{more}\n"
    )


def _delivered(now: float, fields: Mapping[str, Any]) -> str:
    number = len(fields)
    more = "" if number == DELIVERED_FIELDS else _shown(islice(fields.items(), DELIVERED_FIELDS - 1, number - 1))
    return (
        f"{timestamp(now)} delivered id={fields['id']} to={_BARE_TEXT[fields['to']]}"
        f" host={_BARE_TEXT[fields['host']]} total={SECONDS_TEXT[fields['total']]}"
        f" queued={SECONDS_TEXT[fields['queued']]} waited={SECONDS_TEXT[fields['waited']]}"
        f" transfer={SECONDS_TEXT[fields['transfer']]}{more} reply={_BARE_TEXT[fields['reply']]}\n"
    )


# The events of each message have renderers of their own, which cost a third (measured).
_LINE_OF: Mapping[str, Callable[[float, Mapping[str, Any]], str]] = {"accepted": _accepted, "delivered": _delivered}


def render_json(now: float, event: str, fields: Mapping[str, Field]) -> str:
    """Render an event as one JSON object, which also has its level."""
    known = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"time": timestamp(now), "event": event, "level": level_of(event), **known}) + "\n"


#: The renderings by the values of LOG_FORMAT.
FORMATS: Mapping[str, Render] = {"text": render_text, "json": render_json}
