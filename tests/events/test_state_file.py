"""The state of a spool: written in place, read back, and replaced as a whole by the next process."""

import json

import pytest

from mta.events.state_file import NEW_STATE, STATE, SpoolState, StateFile


def test_the_last_state_is_read_back(tmp_path):
    file = StateFile(tmp_path)
    assert file.read() is None
    file.begin(SpoolState(1_000_000, 1.5, clean=False))
    file.write(SpoolState(1_000_001, 1.5, 7, clean=False))
    # A shorter text leaves no rest of a longer one.
    file.write(SpoolState(5, 1.5), durably=True)
    assert StateFile(tmp_path).read() == SpoolState(5, 1.5)
    assert json.loads((tmp_path / STATE).read_text()) == {"received": 5, "since": 1.5, "dropped": 0, "clean": True}
    assert not (tmp_path / NEW_STATE).exists()
    assert (tmp_path / STATE).stat().st_mode & 0o777 == 0o600


def test_a_file_without_blanks_is_read_and_replaced(tmp_path):
    (tmp_path / STATE).write_text('{"received": 9, "since": 2.0, "dropped": 1, "clean": true}')
    file = StateFile(tmp_path)
    state = file.read()
    assert state == SpoolState(9, 2.0, 1)
    file.begin(state)
    file.close()
    assert StateFile(tmp_path).read() == state


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"received": "x"}'])
def test_a_damaged_file_has_no_state(tmp_path, text):
    (tmp_path / STATE).write_text(text)
    assert StateFile(tmp_path).read() is None


def test_a_closed_file_takes_no_state(tmp_path):
    with pytest.raises(OSError, match="closed"):
        StateFile(tmp_path).write(SpoolState(1, 1.0))
