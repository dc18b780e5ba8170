"""Records, batches, and the signature as the documentation has a receiver check it."""

import json
import re
import time
from typing import Any

import pytest

from harness.daemon import ROOT
from mta.events.batch import batch_body, read_record, records, signature

NOON = 1_795_348_800.25
EVENT = (NOON, "delivered", {"id": "0123456789abc", "to": "<bob@example.net>", "tls": None, "reply": "250 Grüße\n"})


def test_a_record_is_one_line_with_the_fields_of_the_log():
    line = records(7, [EVENT])
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "seq": 7,
        "time": "2026-11-22T12:00:00.250Z",
        "event": "delivered",
        "id": "0123456789abc",
        "to": "<bob@example.net>",
        "reply": "250 Grüße\n",
    }


@pytest.mark.parametrize("text", ['}, {"seq": ', "}, {", '", "seq": 1}, {"seq": ', '\\"}, {"seq": ', "}\n{"])
def test_a_value_that_looks_like_a_record_is_part_of_its_own(text):
    lines = records(7, [(NOON, text, {"id": text, text: text})] * 3).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [7, 8, 9]
    assert {json.loads(line)["id"] for line in lines} == {text}


def test_a_record_that_is_read_back_is_the_event():
    now, name, fields = read_record(records(7, [EVENT]))
    assert (now, name) == (NOON, "delivered")
    assert fields == {key: value for key, value in EVENT[2].items() if value is not None}


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b'{"time": "never", "event": "x"}', b"\xff"])
def test_a_damaged_record_is_refused(line):
    with pytest.raises(ValueError, match=r"."):
        read_record(line)


def test_a_batch_is_json_with_the_relay_and_its_worker():
    body = batch_body("mail.example.org", 2, 5, records(7, [EVENT, EVENT]).splitlines())
    batch = json.loads(body)
    assert (batch["relay"], batch["worker"], batch["dropped"]) == ("mail.example.org", 2, 5)
    assert [event["seq"] for event in batch["events"]] == [7, 8]


def test_the_documented_check_accepts_a_signature_and_no_other():
    page = (ROOT / "docs/events.md").read_text()
    code: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], code)  # noqa: S102 (the documentation is ours)
    now, is_genuine = int(time.time()), code["is_genuine"]
    header = signature("secret", now, b"body")
    assert is_genuine(header, b"body", "secret")
    assert not is_genuine(header, b"bodY", "secret")
    assert not is_genuine(header, b"body", "Secret")
    assert not is_genuine(header.replace(str(now), str(now - 1)), b"body", "secret")
    assert not is_genuine(signature("secret", now - 3600, b"body"), b"body", "secret")
