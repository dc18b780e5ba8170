"""Renders an event as a line of the log, as text or as JSON, and as the members of a JSON object for other programs."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice
from typing import Any

from mta.event_log.levels import level_of
from mta.event_log.repeats import Field
from mta.message.dates import timestamp
from mta.remembered import Remembered

Render = Callable[[float, str, Mapping[str, Field]], str]
#: Renders events of one name, by their time and their fields: as a line of the log, and as `json_members`.
RenderBoth = Callable[[float, Mapping[str, Any]], tuple[str, str]]

# The number of fields that the log always gives to these events. They come first, but `reply` is the last one of a
# delivery. The id needs no quotes.
_ACCEPTED_FIELDS, _DELIVERED_FIELDS = 6, 8
# Values that follow `key=` unquoted; all others are quoted as JSON, which escapes line breaks and controls.
_BARE = re.compile(r"[!#-\[\]-~]+")
# The characters of the members that come first, without the event.
_TIME = len('"time": "2026-11-22T12:00:00.123Z", "event": ')

_quote = json.encoder.encode_basestring_ascii


def _bare(value: str) -> str:
    """Quote a value if needed."""
    return value if _BARE.fullmatch(value) else _quote(value)


def _forms(value: str) -> tuple[str, str]:
    """Return a value as it is in lines of text, and as JSON."""
    quoted = _quote(value)
    return value if _BARE.fullmatch(value) else quoted, quoted


# The digits of floats, as text and JSON have them. Remembered, because durations repeat, and digits cost.
_SECONDS_TEXT: Remembered[float, str] = Remembered(repr, 4096)
# Hosts, names and replies repeat from message to message.
_BARE_TEXT: Remembered[str, str] = Remembered(_bare, 1024)
_QUOTED: Remembered[str, str] = Remembered(_quote, 1024)
_FORMS: Remembered[str, tuple[str, str]] = Remembered(_forms, 4096)


def render_text(now: float, event: str, fields: Mapping[str, Field]) -> str:
    """Render an event as one line of text, for people and for grep."""
    line = _LINE_OF.get(event)
    return f"{timestamp(now)} {event}{_shown(fields.items())}\n" if line is None else line(now, fields)


def _shown(fields: Iterable[tuple[str, Field]]) -> str:
    return "".join([f" {name}={_text(value)}" for name, value in fields if value is not None])


def _text(value: str | float) -> object:
    if type(value) is str:
        return _BARE_TEXT[value]
    return _SECONDS_TEXT[value] if type(value) is float else value


def _accepted(now: float, fields: Mapping[str, Any]) -> str:
    more = "" if len(fields) == _ACCEPTED_FIELDS else _shown(islice(fields.items(), _ACCEPTED_FIELDS, None))
    return (
        f"{timestamp(now)} accepted id={fields['id']} client={_BARE_TEXT[fields['client']]}"
        f" helo={_BARE_TEXT[fields['helo']]} from={_BARE_TEXT[fields['from']]}"
        f" recipients={fields['recipients']} size={fields['size']}{more}\n"
    )


def _delivered(now: float, fields: Mapping[str, Any]) -> str:
    number = len(fields)
    more = "" if number == _DELIVERED_FIELDS else _shown(islice(fields.items(), _DELIVERED_FIELDS - 1, number - 1))
    return (
        f"{timestamp(now)} delivered id={fields['id']} to={_BARE_TEXT[fields['to']]}"
        f" host={_BARE_TEXT[fields['host']]} total={_SECONDS_TEXT[fields['total']]}"
        f" queued={_SECONDS_TEXT[fields['queued']]} waited={_SECONDS_TEXT[fields['waited']]}"
        f" transfer={_SECONDS_TEXT[fields['transfer']]}{more} reply={_BARE_TEXT[fields['reply']]}\n"
    )


# The events of each message have renderers of their own, which cost a third (measured).
_LINE_OF: Mapping[str, Callable[[float, Mapping[str, Any]], str]] = {"accepted": _accepted, "delivered": _delivered}


def render_json(now: float, event: str, fields: Mapping[str, Field]) -> str:
    """Render an event as one JSON object, which also has its level."""
    return _with_level(event, json_members(now, event, fields))


def json_members(now: float, event: str, fields: Mapping[str, Field]) -> str:
    """Return the members of a JSON object: time, event, and fields that are not None, with a brace and a line end.

    The caller puts the other brace, and members of its own, before them.
    """
    return f'"time": "{timestamp(now)}", "event": {_QUOTED[event]}{_further(fields.items())}}}\n'


def _with_level(event: str, members: str) -> str:
    first = _TIME + len(_QUOTED[event])
    return f'{{{members[:first]}, "level": "{level_of(event)}"{members[first:]}'


def _further(fields: Iterable[tuple[str, Field]]) -> str:
    return "".join([f", {_QUOTED[name]}: {_json(value)}" for name, value in fields if value is not None])


def _json(value: str | float) -> object:
    if type(value) is str:
        return _quote(value)
    if type(value) is float:
        return _SECONDS_TEXT[value]
    return value if type(value) is int else json.dumps(value)


def _both_of_accepted(now: float, fields: Mapping[str, Any]) -> tuple[str, str]:
    time, id, recipients, size = timestamp(now), fields["id"], fields["recipients"], fields["size"]
    client, client_json = _FORMS[fields["client"]]
    helo, helo_json = _FORMS[fields["helo"]]
    sender, sender_json = _FORMS[fields["from"]]
    text = more = ""
    if len(fields) != _ACCEPTED_FIELDS:
        further = list(islice(fields.items(), _ACCEPTED_FIELDS, None))
        text, more = _shown(further), _further(further)
    line = (
        f"{time} accepted id={id} client={client} helo={helo} from={sender} recipients={recipients} size={size}{text}\n"
    )
    members = (
        f'"time": "{time}", "event": "accepted", "id": "{id}", "client": {client_json}, "helo": {helo_json}, '
        f'"from": {sender_json}, "recipients": {recipients}, "size": {size}{more}}}\n'
    )
    return line, members


def _both_of_delivered(now: float, fields: Mapping[str, Any]) -> tuple[str, str]:
    time, id = timestamp(now), fields["id"]
    to, to_json = _FORMS[fields["to"]]
    host, host_json = _FORMS[fields["host"]]
    reply, reply_json = _FORMS[fields["reply"]]
    total, queued = _SECONDS_TEXT[fields["total"]], _SECONDS_TEXT[fields["queued"]]
    waited, transfer = _SECONDS_TEXT[fields["waited"]], _SECONDS_TEXT[fields["transfer"]]
    text = more = ""
    if len(fields) != _DELIVERED_FIELDS:
        further = list(islice(fields.items(), _DELIVERED_FIELDS - 1, len(fields) - 1))
        text, more = _shown(further), _further(further)
    line = (
        f"{time} delivered id={id} to={to} host={host} total={total} queued={queued} waited={waited}"
        f" transfer={transfer}{text} reply={reply}\n"
    )
    members = (
        f'"time": "{time}", "event": "delivered", "id": "{id}", "to": {to_json}, "host": {host_json}, '
        f'"total": {total}, "queued": {queued}, "waited": {waited}, "transfer": {transfer}{more}, '
        f'"reply": {reply_json}}}\n'
    )
    return line, members


# Both together, because the members by themselves cost a message nearly three times as much (measured).
_BOTH_OF: Mapping[str, RenderBoth] = {"accepted": _both_of_accepted, "delivered": _both_of_delivered}


def render_both(render: Render, event: str) -> RenderBoth:
    """Return the callable that renders events of this name, with all the fields that the log gives to them.

    Its results are what `render` and `json_members` return for them.
    """
    if render is render_text and event in _BOTH_OF:
        return _BOTH_OF[event]
    return partial(_json_both if render is render_json else partial(_each, render), event)


def _json_both(event: str, now: float, fields: Mapping[str, Field]) -> tuple[str, str]:
    members = json_members(now, event, fields)
    return _with_level(event, members), members


def _each(render: Render, event: str, now: float, fields: Mapping[str, Field]) -> tuple[str, str]:
    return render(now, event, fields), json_members(now, event, fields)


#: The renderings by the values of LOG_FORMAT.
FORMATS: Mapping[str, Render] = {"text": render_text, "json": render_json}
