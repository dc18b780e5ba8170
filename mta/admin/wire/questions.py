"""Queries as parameters of a URL: those of the command `queue find`, and back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from mta.admin.wire.fields import WireError
from mta.queue.entries import Query, QueueId
from mta.queue.ids import to_number
from mta.queue.search.conditions import Conditions
from mta.queue.search.reading import OPTIONS, TEXTS, ConditionError, read_conditions

#: Parameters with a list of texts, a text for each option of a search.
Words = Mapping[str, Sequence[str]]

#: Messages of one answer, and whole ids that a question may name.
MAX_PAGE = 1000
MAX_MESSAGES = 500
USUAL_PAGE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253402300799.0
_YES = {"yes": True, "no": False}
_ORDERS = {"newest": True, "oldest": False}
#: The parameters of a question beside the conditions.
PARAMETERS = ("message", "history", "details", "order", "before", "after", "limit")


def condition_words(conditions: Conditions) -> dict[str, list[str]]:
    """Return the parameters of conditions, from which `read_conditions` makes them again."""
    found: dict[str, list[str]] = {}
    for option, name in TEXTS.items():
        text: str = getattr(conditions, name)
        if text:
            found[option] = [_bracketed(text) if option in {"from", "to", "message-id"} else text]
    if conditions.words:
        found["word"] = [_bracketed(word) for word in conditions.words]
    if conditions.ids:
        found["id"] = list(conditions.ids)
    if conditions.states:
        found["status"] = [state.value for state in conditions.states]
    for option, when in (("since", conditions.since), ("until", conditions.until)):
        if when is not None:
            # No message is from before 1970, or from after 9999.
            found[option] = [(_EPOCH + timedelta(seconds=min(max(when, 0.0), _LAST))).isoformat()]
    if conditions.larger is not None:
        found["larger"] = [_size_text(conditions.larger)]
    return found


def _bracketed(text: str) -> str:
    """Return a text from which brackets and blanks are not removed when it is read."""
    return text if text == "<>" or (text == text.strip() and text[0] != "<") else f"<{text}>"


def _size_text(octets: int) -> str:
    # The number of digits of a size is bounded.
    for unit, bits in (("G", 30), ("M", 20), ("K", 10)):
        if octets and not octets & ((1 << bits) - 1):
            return f"{octets >> bits}{unit}"
    return str(octets)


def query_words(query: Query) -> dict[str, list[str]]:
    """Return the parameters of a query, from which `read_query` makes it again."""
    found = condition_words(query.conditions)
    if query.ids:
        found["message"] = list(query.ids)
    found["history"] = ["yes" if query.finished else "no"]
    found["details"] = ["yes" if query.details else "no"]
    found["order"] = ["newest" if query.newest_first else "oldest"]
    if query.before is not None:
        found["before"] = [query.before]
    if query.after is not None:
        found["after"] = [query.after]
    found["limit"] = [str(query.limit)]
    return found


def read_query(words: Words, now: float, zone: tzinfo = UTC) -> Query:
    """Return the query of parameters: history too and newest first, unless they say otherwise. Raises WireError.

    `now` is wall-clock seconds, `zone` that of times without an offset.
    """
    others = {name: texts for name, texts in words.items() if name not in PARAMETERS}
    return Query(
        ids=read_ids(words.get("message", ())),
        finished=_choice(words, "history", _YES, usual="yes"),
        limit=_read_limit(words),
        conditions=read_words(others, now, zone),
        newest_first=_choice(words, "order", _ORDERS, usual="newest"),
        before=_cursor(words, "before"),
        after=_cursor(words, "after"),
        details=_choice(words, "details", _YES, usual="no"),
    )


def read_words(words: Words, now: float, zone: tzinfo = UTC) -> Conditions:
    """Return the conditions of parameters. Raises WireError."""
    unknown = [name for name in words if name not in OPTIONS]
    if unknown:
        raise WireError(f"there is no parameter {unknown[0][:50]!r}")
    try:
        return read_conditions(words, now, zone)
    except ConditionError as error:
        raise WireError(str(error)) from None


def read_ids(texts: Sequence[str]) -> tuple[QueueId, ...]:
    """Return whole ids, each once. Raises WireError."""
    if len(texts) > MAX_MESSAGES:
        raise WireError(f"message: more than {MAX_MESSAGES} ids")
    return tuple(dict.fromkeys(read_whole_id(text) for text in texts))


def read_whole_id(text: str) -> QueueId:
    """Return a queue id. Raises WireError if it is not one, or is abbreviated."""
    try:
        to_number(QueueId(text))
    except ValueError as error:
        raise WireError(str(error)) from None
    return QueueId(text)


def _only(words: Words, name: str) -> str:
    texts = words.get(name, ())
    if len(texts) > 1:
        raise WireError(f"{name}: given too often")
    return texts[0] if texts else ""


def read_choice(words: Words, name: str) -> bool:
    """Return whether a parameter is `yes`; `no` is usual. Raises WireError."""
    return _choice(words, name, _YES, usual="no")


def _choice(words: Words, name: str, choices: Mapping[str, bool], *, usual: str) -> bool:
    text = _only(words, name) or usual
    if text not in choices:
        raise WireError(f"{name}: {text[:50]!r} is not {' or '.join(choices)}")
    return choices[text]


def _cursor(words: Words, name: str) -> QueueId | None:
    text = _only(words, name)
    return read_whole_id(text) if text else None


def _read_limit(words: Words) -> int:
    text = _only(words, "limit") or str(USUAL_PAGE)
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_PAGE):
        raise WireError(f"limit: {text[:50]!r} is not a number from 1 to {MAX_PAGE}")
    return int(text)
