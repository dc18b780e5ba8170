"""The spool: what is appended is read in its order until it is received, over restarts, crashes and a full disk."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mta.event_log.lines import json_members
from mta.events.spool import FOLDER, Spool, SpoolFull
from mta.events.state_file import STATE

NOON = 1_795_348_800.0


def event(number: int) -> str:
    return json_members(NOON + number, "accepted", {"id": str(number)})


def spool(home: Path, **options: int) -> Spool:
    return Spool(home, now=NOON, free=lambda _: 1 << 40, **options)  # type: ignore[arg-type]


def ids(lines) -> list[int]:
    return [int(json.loads(line)["id"]) for line in lines]


def drain(source: Spool) -> list[int]:
    found = []
    while (batch := source.next_batch()) is not None:
        found += ids(batch.records)
        source.received(batch)
    return found


def test_events_are_read_in_their_order_over_several_segments(tmp_path):
    source = spool(tmp_path, segment_octets=300)
    for number in range(50):
        source.append([event(number)])
    assert source.waiting == 50
    assert drain(source) == list(range(50))
    assert source.waiting == 0


def test_a_batch_that_was_not_received_is_read_again(tmp_path):
    source = spool(tmp_path)
    source.append([event(1), event(2)])
    assert source.next_batch() == source.next_batch()


def test_an_event_during_a_request_is_in_the_next_batch(tmp_path):
    source = spool(tmp_path)
    source.append([event(1)])
    batch = source.next_batch()
    source.append([event(2)])
    assert batch is not None
    source.received(batch)
    assert drain(source) == [2]


def test_a_start_goes_on_where_the_process_before_ended(tmp_path):
    source = spool(tmp_path, segment_octets=300)
    source.append([event(number) for number in range(5)])
    first = source.next_batch()
    source.append([event(5)])
    assert first is not None
    source.received(first)
    source.close()
    again = spool(tmp_path)
    assert not again.was_killed
    again.append([event(6)])
    assert drain(again) == [5, 6]


def test_numbers_grow_over_a_start(tmp_path):
    source = spool(tmp_path)
    source.append([event(1)])
    batch = source.next_batch()
    assert batch is not None
    source.received(batch)
    again = spool(tmp_path)
    assert again.was_killed
    again.append([event(2)])
    later = again.next_batch()
    assert later is not None
    assert later.last == batch.last + 1
    assert json.loads(later.records[0])["seq"] == later.last


def test_half_a_record_is_cut_off(tmp_path):
    source = spool(tmp_path)
    source.append([event(1), event(2)])
    (path,) = (tmp_path / FOLDER).glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-10])
    again = spool(tmp_path)
    again.append([event(3)])
    assert drain(again) == [1, 3]


def test_a_spool_whose_received_records_a_power_cut_took_goes_on(tmp_path):
    source = spool(tmp_path)
    source.append([event(1), event(2)])
    assert drain(source) == [1, 2]
    (path,) = (tmp_path / FOLDER).glob("*.jsonl")
    path.write_bytes(b"")
    again = spool(tmp_path)
    assert again.waiting == 0
    again.append([event(3)])
    assert drain(again) == [3]
    again.append([event(4)])
    assert drain(spool(tmp_path)) == [4]


def test_without_its_state_all_events_on_disk_are_sent_again(tmp_path):
    source = spool(tmp_path)
    source.append([event(1), event(2)])
    assert drain(source) == [1, 2]
    (tmp_path / FOLDER / STATE).write_text("{")
    assert drain(spool(tmp_path)) == [1, 2]


def test_beyond_its_bound_the_oldest_events_are_dropped_and_counted(tmp_path):
    source = spool(tmp_path, segment_octets=300, max_octets=1000)
    dropped = sum(source.append([event(number)]) for number in range(100))
    assert dropped == source.dropped > 80
    assert drain(source) == list(range(dropped, 100))


def test_a_batch_whose_events_were_dropped_meanwhile_changes_nothing(tmp_path):
    source = spool(tmp_path, segment_octets=300, max_octets=1000)
    source.append([event(0)])
    batch = source.next_batch()
    dropped = sum(source.append([event(number)]) for number in range(1, 100))
    assert batch is not None
    source.received(batch)
    assert drain(source) == list(range(dropped, 100))


def test_a_full_disk_takes_no_event(tmp_path):
    source = Spool(tmp_path, now=NOON, free=lambda _: 1000)
    with pytest.raises(SpoolFull):
        source.append([event(1)])
    source.lose(1)
    assert (source.waiting, source.dropped) == (0, 1)


def test_received_segments_are_removed_when_they_are_old(tmp_path):
    source = spool(tmp_path, segment_octets=300)
    for number in range(50):
        source.append([event(number)])
    for path in sorted((tmp_path / FOLDER).glob("*.jsonl"))[:-1]:
        os.utime(path, (NOON, NOON))
    assert drain(source) == list(range(50))
    assert len(list((tmp_path / FOLDER).glob("*.jsonl"))) <= 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["append", "take", "receive", "send", "restart"]), max_size=30))
@example(["append", "append", "send", "append", "append", "append"])
def test_any_sequence_sends_each_event_once(tmp_path_factory, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mta.events.spool.MAX_BATCH", 200)
        patch.setattr("mta.events.fresh.MAX_BATCH", 200)
        made, sent = run(tmp_path_factory.mktemp("home"), steps)
    assert sent == list(range(made))


def run(home: Path, steps: list[str]) -> tuple[int, list[int]]:
    """Carry out the steps; return how many events were made, and those that were sent."""
    source, made, sent = spool(home, segment_octets=400), 0, []
    taken = None
    for step in steps:
        if step == "append":
            source.append([event(made), event(made + 1)])
            made += 2
        elif step == "take":
            taken = source.next_batch()
        elif step == "receive" and taken is not None:
            sent += ids(taken.records)
            source.received(taken)
            taken = None
        elif step == "send":
            sent, taken = sent + drain(source), None
        elif step == "restart":
            source, taken = spool(home, segment_octets=400), None
    return made, sent + drain(source)
