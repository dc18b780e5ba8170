"""How a target's work grows with its input: hostile shapes at one size and at twice that."""

import functools
import gc
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.fuzz.target import Growth, Target

#: The allowed cost of twice the input: twice as much, and room for a busy machine. Quadratic work costs four times.
_STEEPEST = 2.8
_TRIES = 5
_DOUBLINGS = 3


def too_steep(target: Target[Any]) -> list[str]:
    """Return a line for each shape whose CPU time grows faster than its size."""
    return [words for growth in target.growth if (words := _judged(target, growth))]


def _judged(target: Target[Any], growth: Growth[Any]) -> str:
    size = growth.size << (_DOUBLINGS - 1)
    ratio = 0.0
    for _ in range(_TRIES):
        small, large = (_least(target, growth, many) for many in (size, 2 * size))
        ratio = large / small
        if ratio < _STEEPEST:
            return ""
    return f"{growth.name}: {ratio:.1f} times the work for {2 * size:,} octets in place of {size:,}"


def _least(target: Target[Any], growth: Growth[Any], size: int) -> float:
    made = growth.make(size)
    return min(_spent(target, growth, made) for _ in range(3))


def _spent(target: Target[Any], growth: Growth[Any], made: Any) -> float:
    forget()
    began = time.process_time()
    (growth.work or target.check)(made)
    return time.process_time() - began


def calls(target: Target[Any], growth: Growth[Any], size: int) -> int:
    """Return how many functions are called for a shape of this size: a count that no busy machine changes."""
    made = growth.make(size)
    forget()
    count = 0

    def profile(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    work: Callable[[Any], object] = growth.work or target.check
    sys.setprofile(profile)
    try:
        work(made)
    finally:
        sys.setprofile(None)
    return count


def forget() -> None:
    """Empty the caches of mta/, which would make a second run free."""
    for cache in _caches():
        cache.cache_clear()


@functools.cache
def _caches() -> tuple[Any, ...]:
    # Classes that compare oddly are in the collector's list too.
    found = [one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper]
    return tuple(one for one in found if str(getattr(one, "__module__", "")).startswith("mta."))
