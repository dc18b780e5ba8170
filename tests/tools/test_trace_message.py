"""The trace of a message: the figures, the recording in the daemon's process, and a real daemon that is traced."""

import functools
import importlib.util
import json
import os
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from tools.trace_hooks.sitecustomize import Recorder
from tools.trace_message import Trace, parse, report, trace_messages, walk

ROOT = Path(__file__).parents[2]
SERVE, READ, SEND, LOG = ("in/a.py", "A.serve"), ("in/a.py", "A.read"), ("out/b.py", "send"), ("log.py", "log")
TRACE = Trace([[SERVE], [SERVE, READ], [SERVE, SEND], [SERVE, SEND, LOG], [SERVE, SEND], [SERVE, LOG]], resumed=1)


def test_the_figures_of_a_trace() -> None:
    assert list(report(TRACE)) == [
        "files visited: 3",
        "functions called: 4",
        "calls: 6, of which 1 resume a coroutine",
        "calls from file to file: 4 over 3 pairs, 4 from package to package",
        "deepest stack: 3",
        "    in/a.py: A.serve",
        "    out/b.py: send",
        "    log.py: log",
        "calls by package: in 2, out 2, . 2",
    ]


def test_the_walk_shows_each_call_below_its_caller() -> None:
    assert list(walk(TRACE))[:4] == ["in/a.py: A.serve", "  in/a.py: A.read", "  out/b.py: send", "    log.py: log"]


SOURCE = """
def outer(call):
    return [call(each) for each in inner()]

def inner():
    yield 1
    yield 2

def leaf(_):
    pass
"""


@pytest.fixture
def package(tmp_path: Path) -> ModuleType:
    (tmp_path / "mod.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("mod", tmp_path / "mod.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(recorder: Recorder, package: ModuleType) -> Trace:
    """Return the trace of a call of the package, through a function that is not of it."""
    sys.setprofile(recorder.profile)
    try:
        package.outer(functools.partial(package.leaf))
    finally:
        sys.setprofile(None)
    return parse(json.dumps(recorder.calls))


def test_calls_are_recorded_through_foreign_functions_and_without_comprehensions(
    package: ModuleType, tmp_path: Path
) -> None:
    recorder = Recorder(str(tmp_path))
    recorder.recording = True
    trace = record(recorder, package)
    outer, leaf, inner = (("mod.py", name) for name in ("outer", "leaf", "inner"))
    assert sorted(trace.stacks) == sorted([[outer], *[[outer, inner]] * 3, *[[outer, leaf]] * 2])
    assert trace.resumed == 2


def test_a_recorder_records_only_when_it_is_told_to(package: ModuleType, tmp_path: Path) -> None:
    assert record(Recorder(str(tmp_path)), package).stacks == []
    other = Recorder(str(tmp_path / "other"))
    other.recording = True
    assert record(other, package).stacks == []


def test_a_recording_is_begun_and_written_by_orders(package: ModuleType, tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path))
    (read, write), out = os.pipe(), tmp_path / "record"
    out.touch()
    obeying = threading.Thread(target=recorder.obey, args=(read, os.open(out, os.O_WRONLY)))
    obeying.start()
    os.write(write, b"begin\nend\n")
    os.close(write)
    obeying.join()
    assert out.read_text() == "[]\n[]\n"


@pytest.mark.endtoend
def test_a_message_is_traced_from_its_connection_to_its_settlement() -> None:
    (trace,) = trace_messages(ROOT, 1)
    packages = {package.split("/")[0] for package in trace.packages}
    assert {"inbound", "smtp", "queue", "delivery", "routing", "event_log"} <= packages
    assert len(trace.deepest) > 5
