"""Reads conditions from the words of an operator: the options of a command, or the parameters of a URL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Any

from mta.queue.search.conditions import ANY, Conditions, State
from mta.queue.search.times import read_duration, read_time

#: Options with one text, and the fields of Conditions that they set.
TEXTS = {
    "from": "sender",
    "to": "recipient",
    "domain": "domain",
    "subject": "subject",
    "message-id": "message_id",
    "client": "client",
    "login": "login",
    "host": "host",
    "reply": "reply",
}
#: All options. Only `id`, `status` and `word` may come more than once.
OPTIONS = ("id", *TEXTS, "status", "since", "until", "larger", "older", "word")
_SEVERAL = frozenset({"id", "status", "word"})
_IN_BRACKETS = frozenset({"from", "to", "message-id", "word"})
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
#: Characters of a condition, and conditions of one kind.
MAX_LENGTH = 1000
MAX_WORDS = 100


class ConditionError(ValueError):
    """A condition cannot be read; the text names its option and tells how to write it."""


def read_conditions(words: Mapping[str, Sequence[str]], now: float, zone: tzinfo) -> Conditions:
    """Return the conditions of these words by option, empty words left out. Raises ConditionError.

    `now` is wall-clock seconds, `zone` that of times without an offset. If several options bound the time of a message,
    the narrower one counts.
    """
    found = ANY
    for option, given in words.items():
        texts = [text.strip() for text in given if text.strip()]
        if not texts:
            continue
        try:
            _check(option, texts)
            found = _with(found, option, [_bare(option, text) for text in texts], now, zone)
        except ValueError as error:
            raise ConditionError(f"{option}: {error}") from None
    return found


def _check(option: str, texts: Sequence[str]) -> None:
    if option not in OPTIONS:
        raise ValueError("there is no such condition")
    if len(texts) > (MAX_WORDS if option in _SEVERAL else 1):
        raise ValueError("given too often")
    if any(len(text) > MAX_LENGTH or "\0" in text or not _is_whole(text) for text in texts):
        raise ValueError(f"longer than {MAX_LENGTH} characters, or with a NUL, or not UTF-8")


def _is_whole(text: str) -> bool:
    """Whether a text has no half of a character, which Python makes of an argument that is not UTF-8."""
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)


def _bare(option: str, text: str) -> str:
    """Return an address or a Message-ID without its angle brackets; `<>` stays."""
    if option in _IN_BRACKETS and len(text) > 2 and text[0] == "<" and text[-1] == ">":
        return text[1:-1]
    return text


def _with(found: Conditions, option: str, texts: Sequence[str], now: float, zone: tzinfo) -> Conditions:
    """Return conditions with those of one option added. Raises ValueError."""
    text = texts[0]
    if option in TEXTS:
        change: dict[str, Any] = {TEXTS[option]: text}
        return replace(found, **change)
    if option == "word":
        return replace(found, words=tuple(texts))
    if option == "id":
        return replace(found, ids=tuple(each.lower() for each in texts))
    if option == "status":
        return replace(found, states=tuple(map(_read_state, texts)))
    if option == "larger":
        return replace(found, larger=read_size(text))
    if option == "since":
        when = read_time(text, now, zone)
        return replace(found, since=when if found.since is None else max(when, found.since))
    when = now - read_duration(text) if option == "older" else read_time(text, now, zone)
    return replace(found, until=when if found.until is None else min(when, found.until))


def _read_state(text: str) -> State:
    try:
        return State(text.lower())
    except ValueError:
        raise ValueError(f"{text!r} is not one of {', '.join(state.value for state in State)}") from None


def read_size(text: str) -> int:
    """Return the octets of a size such as `500`, `10K` or `2M`. Raises ValueError with the reason."""
    digits = text.rstrip("kKmMgG")
    unit = text[len(digits) :].upper()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 13 and unit in _SIZES):
        raise ValueError(f"{text!r} is not a size such as 500, 10K or 2M")
    return int(digits) * _SIZES[unit]
