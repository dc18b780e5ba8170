"""The trimming of the heap, and its intervals."""

import ctypes
import os
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from mta.daemon.malloc_trim import BUSY_INTERVAL, IDLE_INTERVAL, HeapTrimmer

_MIB = 1 << 20


def _result_of(done: "Deferred[float | None]") -> float | None:
    found: list[float | None] = []
    done.addCallback(found.append)
    return found[0]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this system's malloc gives back by itself")
def test_free_memory_between_used_blocks_is_returned() -> None:
    # Free memory that other tests left would be taken first, and the process would not grow.
    HeapTrimmer().trim()
    before = _resident()
    # Large enough not to be Python's own to keep, and freed but for one in a hundred, so that the heap cannot shrink.
    blocks = [bytes([number & 255]) * 10_000 for number in range(6_000)]
    kept = blocks[::100]
    del blocks
    held = _resident() - before
    assert held > 30 * _MIB
    HeapTrimmer().trim()
    assert _resident() - before < held / 2
    assert len(kept) == 60


def test_a_loaded_process_is_trimmed_again_soon_and_an_idle_one_late() -> None:
    seconds = iter((0.0, 6.0, 6.01, 12.0))
    trimmed: list[int] = []
    spare = HeapTrimmer(trimmed.append, lambda: next(seconds))
    assert [_result_of(spare.trim()) for _ in range(3)] == [BUSY_INTERVAL, IDLE_INTERVAL, BUSY_INTERVAL]
    assert trimmed == [0, 0, 0]


def test_without_malloc_trim_nothing_is_done() -> None:
    assert _result_of(HeapTrimmer(None, lambda: 0.0).trim()) == IDLE_INTERVAL
