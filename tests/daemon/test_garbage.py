"""How often Python looks for garbage in a relay."""

import gc
import subprocess
import sys

import pytest

from harness.daemon import PYTHON_PATH
from mta.daemon.garbage import OBJECTS, look_for_garbage_rarely

# Reads the command line of a relay as twistd does.
_RELAY = """
from twisted.scripts.twistd import ServerOptions
ServerOptions().parseOptions(["-n", "smtprelay"])
"""
# Begins a worker, which ends at once because its relay is of another version.
_WORKER = """
import os, pickle
from contextlib import suppress
from mta.workers.worker import main
handover = os.memfd_create("handover")
os.write(handover, pickle.dumps("another version"))
with suppress(SystemExit):
    main([1, 1, 0, handover, 0, 0])
"""
_SHOW = "import gc; print(gc.get_threshold()[0])"
# Reads the command line of a relay, and counts the searches for garbage and the objects that later ones look at.
_START = """
import gc
seen = []
gc.callbacks.append(lambda phase, info: seen.append(phase))
from twisted.plugins.smtprelay import serviceMaker
before = len(seen)
serviceMaker.options
print(len(seen) - before, gc.isenabled(), len(gc.get_objects()) < 1000)
"""


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


@pytest.mark.parametrize("begin", [_RELAY, _WORKER], ids=["relay", "worker"])
def test_each_process_of_a_relay_looks_for_garbage_rarely(begin):
    done = subprocess.run(
        [sys.executable, "-c", begin + _SHOW],
        env={"NET_DEV": "none0", "PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == [str(OBJECTS)]


def test_the_imports_of_a_relay_are_not_searched_for_garbage_then_or_later():
    done = subprocess.run(
        [sys.executable, "-c", _START], env={"PYTHONPATH": PYTHON_PATH}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "True", "True"]


def test_searches_that_were_off_stay_off_after_imports():
    program = (
        "import gc; from mta.daemon.garbage import imports_without_search; gc.disable()\n"
        "with imports_without_search(): pass\n"
        "print(gc.isenabled())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": PYTHON_PATH}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]
