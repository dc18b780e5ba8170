"""Conditions read from the words of options."""

from datetime import UTC

import pytest

from mta.queue.search.conditions import ANY, Conditions, State
from mta.queue.search.reading import MAX_LENGTH, MAX_WORDS, OPTIONS, ConditionError, read_conditions

NOW = 1_700_000_000.0


def read(**words: str | list[str]) -> Conditions:
    given = {
        name.rstrip("_").replace("_", "-"): [text] if isinstance(text, str) else text for name, text in words.items()
    }
    return read_conditions(given, NOW, UTC)


def test_every_option_sets_its_condition():
    found = read(
        id=["0GQW5", "0gqw6"],
        from_="<alice@a.test>",
        to="*@b.test",
        domain="b.test",
        subject="in*voice",
        message_id="<m1@a.test>",
        client="192.0.2.*",
        login="alice",
        host="mx.b.test",
        reply="grey",
        status=["waiting", "HELD"],
        since="2h",
        until="1h",
        larger="10K",
        word=["<bob@b.test>", " "],
    )
    assert found == Conditions(
        ("bob@b.test",),
        ("0gqw5", "0gqw6"),
        "alice@a.test",
        "*@b.test",
        "b.test",
        "in*voice",
        "m1@a.test",
        "192.0.2.*",
        "alice",
        "mx.b.test",
        "grey",
        (State.WAITING, State.HELD),
        NOW - 7200,
        NOW - 3600,
        10240,
    )


def test_no_words_are_no_conditions():
    assert read_conditions({option: [] for option in OPTIONS}, NOW, UTC) == ANY
    assert read(to="  ", status=[]) == ANY


def test_the_null_sender_keeps_its_brackets():
    assert read(from_="<>").sender == "<>"


@pytest.mark.parametrize(("words", "until"), [({"older": "1h"}, 3600), ({"until": "2h", "older": "1h"}, 7200)])
def test_the_narrower_bound_on_the_time_counts(words, until):
    assert read(**words).until == NOW - until


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"colour": "red"}, "colour: there is no such condition"),
        ({"to": ["a", "b"]}, "to: given too often"),
        ({"word": ["a"] * (MAX_WORDS + 1)}, "word: given too often"),
        ({"subject": "x" * (MAX_LENGTH + 1)}, "subject: longer than 1000 characters"),
        ({"to": "a\0b"}, "to: longer than 1000 characters, or with a NUL, or not UTF-8"),
        ({"word": "\udcff"}, "word: longer than 1000 characters, or with a NUL, or not UTF-8"),
        ({"status": "lost"}, "status: 'lost' is not one of waiting, held, delivered, failed, removed"),
        ({"since": "soon"}, "since: 'soon' is not a time"),
        ({"older": "10:00"}, "older: '10:00' is not a duration"),
        ({"larger": "10MB"}, "larger: '10MB' is not a size"),
        ({"larger": "\u0663"}, "larger: '\u0663' is not a size"),
    ],
)
def test_a_mistake_names_its_option(words, told):
    with pytest.raises(ConditionError) as caught:
        read(**words)
    assert str(caught.value).startswith(told)
