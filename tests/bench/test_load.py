"""The load of smtp-source: its options, its end and its errors."""

import pytest

from bench.load import Source
from bench.recipients import RecipientSink
from harness.processes import find_program, free_port

pytestmark = pytest.mark.skipif(find_program("smtp-source") is None, reason="smtp-source is not installed")


def test_a_source_that_fails_says_why():
    with Source(free_port(), 1) as source, pytest.raises(RuntimeError, match=r"smtp-source failed: .*refused"):
        source.finish()


def test_a_source_knows_when_its_last_message_was_taken():
    with RecipientSink() as sink:
        with Source(sink.port, 3, sessions=2) as source:
            source.finish()
        assert sink.count() == 3
        assert source.begun < sink.latest < source.ended
