"""Records: lines of JSON with the fields of the log, whatever is in them, and read back."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from mta.event_log.lines import json_members, render_both, render_json, render_text
from mta.event_log.log import EventLog
from mta.event_log.stages import Stages
from mta.events.records import SENT, numbered, read_record
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered, Failed, TryLater
from mta.queue.interface import QueueId
from mta.smtp.address import parse_address

NOON = 1_795_348_800.25
ID = QueueId("0123456789abc")
EVENT = (NOON, "delivered", {"id": ID, "to": "<bob@example.net>", "tls": None, "reply": "250 Grüße\n"})
BOB = parse_address("bob@example.net")
ODD = 'quotes " and \\ and ü and \n'


def line(number: int, event) -> bytes:
    return numbered(number, [json_members(*event)])


def test_a_record_is_one_line_with_the_fields_of_the_log():
    assert line(7, EVENT).count(b"\n") == 1
    assert json.loads(line(7, EVENT)) == {
        "seq": 7,
        "time": "2026-11-22T12:00:00.250Z",
        "event": "delivered",
        "id": "0123456789abc",
        "to": "<bob@example.net>",
        "reply": "250 Grüße\n",
    }


@pytest.mark.parametrize("text", ['}, {"seq": ', '"}, {", ', '", "seq": 1}, {"seq": ', '\\"}, {"seq": ', "}\n{"])
def test_a_value_that_looks_like_a_record_is_part_of_its_own(text):
    lines = numbered(7, [json_members(NOON, text, {"id": text, text: text})] * 3).splitlines()
    assert [json.loads(each)["seq"] for each in lines] == [7, 8, 9]
    assert {json.loads(each)["id"] for each in lines} == {text}


def test_a_record_that_is_read_back_is_the_event():
    now, name, fields = read_record(line(7, EVENT))
    assert (now, name) == (NOON, "delivered")
    assert fields == {key: value for key, value in EVENT[2].items() if value is not None}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"time": "never", "event": "x"}', b"\xff"])
def test_a_damaged_record_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        read_record(text)


@dataclass
class Logged:
    """The events of a log: of each its time, its name, and its fields."""

    def __post_init__(self) -> None:
        self.events: list[tuple[float, str, Any]] = []
        self.log = EventLog(lambda _: None, lambda: NOON)
        self.log.copy_to(lambda *event: self.events.append(event))


def test_the_record_of_each_event_of_the_log_has_all_of_its_fields():
    logged = Logged()
    log, envelope = logged.log, Envelope(None, (Recipient(BOB),), Origin("192.0.2.1", ODD, "ESMTP"))
    later, stages = TryLater("451 later", status="4.3.0", host="mx.test"), Stages(1.5, 0.0, 0.25, 12345.678)
    log.accepted(ID, envelope, 500)
    log.accepted(ID, envelope, 500, ODD, "acl:1", held=True, was_from=BOB, tls="TLSv1.3")
    for security in ("", "TLSv1.3 verified"):
        log.delivered(ID, BOB, Delivered(ODD, host="mx.test"), stages, security)
        log.delivered(
            ID, BOB, Delivered(ODD, host="mx.test"), stages, security, signed_by="d/s", earlier=later, rule=ODD
        )
    log.deferred(ID, BOB, later, NOON, earlier=later, rule="x")
    log.failed(ID, BOB, Failed(ODD, host="mx.test", status="5.1.1"))
    log.reported(ID, ID, "failure", BOB)
    assert {name for _, name, _ in logged.events} == set(SENT)
    for now, name, fields in logged.events:
        known = {key: value for key, value in fields.items() if value is not None}
        expected = {"seq": 1, "time": "2026-11-22T12:00:00.250Z", "event": name, **known}
        for render in (render_text, render_json):
            line, members = render_both(render, name)(now, fields)
            assert line == render(now, name, fields)
            assert list(json.loads(numbered(1, [members])[:-1]).items()) == list(expected.items())
            assert members == json_members(now, name, fields)


@pytest.mark.parametrize("first", [0, 7, 999, 1000, 1_795_348_799_999, 1_795_348_800_000])
@pytest.mark.parametrize("number", [0, 1, 2, 1000, 1001, 2500])
def test_numbers_follow_each_other_over_any_digits(first, number):
    lines = numbered(first, [json_members(*EVENT)] * number).splitlines()
    assert [json.loads(each)["seq"] for each in lines] == list(range(first, first + number))
