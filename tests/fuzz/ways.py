"""The two ways from octets to an input: read by the target itself, or drawn by Hypothesis."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings

from tests.fuzz.target import Tape, Target

WAYS = ("octets", "drawn")

# Where the octets end, Hypothesis goes on with the simplest there is.
_TAIL = bytes(4096)
_SETTINGS = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))


def runner(target: Target[Any], way: str, check: Callable[[Any], None] | None = None) -> Callable[[bytes], object]:
    """Return a function that checks the input of some octets. It raises the exceptions of the check."""
    checked = check or target.check
    if way == "octets":
        return lambda data: checked(target.read(Tape(data)))

    @_SETTINGS
    @given(target.inputs)
    def test(drawn: Any) -> None:
        checked(drawn)

    # A test that Hypothesis prepared has this attribute; the types do not know it.
    one_input: Callable[[bytes], object] = test.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
    return lambda data: one_input(data + _TAIL)
