"""The short form of `make fuzz`: the corpus, some hundred drawn inputs of each target, and counted work."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.corpus import kept
from tests.fuzz.growing import calls
from tests.fuzz.table import TARGETS
from tests.fuzz.target import Growth, Target, pieces
from tests.length import choose

TWICE = 2.3
SIZE = 256

targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
shapes = pytest.mark.parametrize(
    ("target", "growth"),
    [pytest.param(one, growth, id=f"{name}: {growth.name}") for name, one in TARGETS.items() for growth in one.growth],
)


@targets
def test_every_input_that_is_kept_holds(target: Target[Any]) -> None:
    inputs = kept(target.name)
    assert inputs
    for data in inputs:
        target.octets(data)


@targets
def test_no_octets_at_all_hold(target: Target[Any]) -> None:
    target.octets(b"")


@targets
def test_drawn_inputs_pass(target: Target[Any]) -> None:
    @settings(max_examples=choose(30, 120), suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def holds(drawn: Any) -> None:
        target.check(drawn)

    holds()


# Python's own words about an expression that an operator might write.
@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@shapes
def test_twice_as_much_calls_no_more_than_twice_as_many_functions(target: Target[Any], growth: Growth[Any]) -> None:
    small, large = (calls(target, growth, size) for size in (SIZE, 2 * SIZE))
    assert large <= TWICE * small


@given(st.binary(max_size=300), st.integers(0, 255))
@settings(max_examples=100)
def test_pieces_are_the_whole(data: bytes, way: int) -> None:
    assert b"".join(pieces(data, way)) == data
