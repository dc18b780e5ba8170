"""Queue ids, their sources and the tags of these."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue.ids import (
    LEAST_RELEASE,
    ChangingIdSource,
    IdSource,
    Tags,
    arrival_of,
    created,
    release_of,
    to_id,
    to_number,
)
from mta.queue.interface import QueueId

numbers = st.integers(0, (1 << 63) - 1)


@given(numbers)
def test_a_number_comes_back_from_its_id(number):
    assert to_number(to_id(number)) == number


@given(numbers, numbers)
def test_ids_sort_as_their_numbers(first, second):
    assert (to_id(first) < to_id(second)) == (first < second)


@given(st.text())
def test_text_is_an_id_or_refused(text):
    try:
        number = to_number(QueueId(text))
    except ValueError:
        return
    assert to_id(number) == text


def test_ids_grow_whatever_the_clock_does():
    source = IdSource()
    ids = [source.new(now) for now in (1000.0, 1000.0, 999.0, 1000.5, 0.0)]
    assert ids == sorted(set(ids))


def test_sources_with_other_tags_never_meet():
    first, second = IdSource(1), IdSource(2)
    assert {first.new(5.0) for _ in range(100)}.isdisjoint({second.new(5.0) for _ in range(100)})


def test_a_source_whose_tag_changes_makes_ids_with_the_present_one():
    tag = 1
    source = ChangingIdSource(lambda: tag)
    ids = [source.new(5.0)]
    tag = 2
    ids.append(source.new(5.0))
    assert [to_number(id) % 1024 for id in ids] == [1, 2]


@given(st.lists(st.integers(1, 5), max_size=40))
def test_workers_that_run_at_a_time_have_tags_of_their_own(starts):
    tags, running = Tags(), {}
    for worker in [*starts, *[9] * 1100]:
        before = running.pop(worker, None)
        tag = tags.new(worker)
        assert 0 <= tag < 1024
        assert tag != before
        assert tag not in running.values()
        running[worker] = tag


def test_an_id_tells_when_it_was_made():
    assert created(IdSource().new(1_700_000_000.25)) == 1_700_000_000.25


def test_the_release_and_the_arrival_of_a_message_that_waits_are_told_apart():
    made = 1_700_000_000.0
    id = IdSource().new(made)
    assert (release_of(id, made + 3600), arrival_of(id, made + 3600)) == (made + 3600, made)
    soon = made + LEAST_RELEASE - 1
    assert (release_of(id, soon), arrival_of(id, soon)) == (None, soon)


def test_the_end_of_data_that_took_minutes_is_no_release():
    id = IdSource().new(1_700_000_000.25)
    ended = 1_700_000_300.625
    assert (release_of(id, ended), arrival_of(id, ended)) == (None, ended)


@pytest.mark.parametrize(
    "text", ["", "0", "0" * 12, "0" * 14, "000000000000u", "000000000000O", "8" + "0" * 12, "../../../etc/"]
)
def test_text_that_is_not_an_id_is_quoted_in_the_error(text):
    with pytest.raises(ValueError, match="not a queue id"):
        to_number(QueueId(text))
