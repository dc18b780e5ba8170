"""How often Python looks for garbage in a relay."""

import gc

import pytest

from mta.daemon.garbage import OBJECTS, look_for_garbage_rarely


@pytest.fixture(autouse=True)
def thresholds():
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_garbage_is_looked_for_rarely_and_found(thresholds):
    gc.set_threshold(700, *thresholds[1:])
    look_for_garbage_rarely()
    assert gc.get_threshold() == (OBJECTS, *thresholds[1:])
    found: list[int] = []
    gc.callbacks.append(lambda phase, info: found.append(info["collected"]) if phase == "stop" else None)
    try:
        for _ in range(2 * OBJECTS):
            cycle: list[object] = []
            cycle.append(cycle)
    finally:
        gc.callbacks.pop()
    assert 1 <= len(found) <= 3
    assert sum(found) > OBJECTS // 2
