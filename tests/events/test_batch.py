"""Batches, and the signature as the documentation has a receiver check it."""

import json
import re
import time
from typing import Any

from harness.daemon import ROOT
from mta.events.batch import batch_body, signature


def test_a_batch_is_json_with_the_relay_and_its_worker():
    body = batch_body("mail.example.org", 2, 5, b'{"seq": 7}\n{"seq": 8}\n')
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
