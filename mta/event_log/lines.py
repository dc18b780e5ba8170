"""Renders an event as a line of the log, as text or as JSON."""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from mta.event_log.levels import level_of
from mta.event_log.repeats import Field
from mta.message.dates import timestamp

Render = Callable[[float, str, Mapping[str, Field]], str]

# Values that follow `key=` unquoted; all others are quoted as JSON, which escapes line breaks and controls.
_BARE = re.compile(r"[!#-\[\]-~]+")


def render_text(now: float, event: str, fields: Mapping[str, Field]) -> str:
    """Render an event as one line of text, for people and for grep."""
    shown = [
        f" {name}={_bare(value) if type(value) is str else seconds_text(value) if type(value) is float else value}"
        for name, value in fields.items()
        if value is not None
    ]
    return f"{timestamp(now)} {event}{''.join(shown)}\n"


def render_json(now: float, event: str, fields: Mapping[str, Field]) -> str:
    """Render an event as one JSON object, which also has its level."""
    known = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"time": timestamp(now), "event": event, "level": level_of(event), **known}) + "\n"


#: The renderings by the values of LOG_FORMAT.
FORMATS: Mapping[str, Render] = {"text": render_text, "json": render_json}


@lru_cache(maxsize=4096)
def seconds_text(value: float) -> str:
    """Return the digits of a float, as text and JSON have them. Cached, because durations repeat, and digits cost."""
    return repr(value)


@lru_cache(maxsize=1024)
def _bare(value: str) -> str:
    """Quote a value if needed. Cached, because hosts, names and replies repeat from message to message."""
    return value if _BARE.fullmatch(value) else json.dumps(value)
