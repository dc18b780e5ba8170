"""The decorator `fast_value`: equality, representation and construction of its classes."""

from dataclasses import field, replace

from mta.fast_value import fast_value


@fast_value(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0
    names: dict[str, int] = field(default_factory=dict, compare=False)


def test_a_value_is_equal_hashed_and_replaced_as_a_frozen_dataclass() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert hash(Point(1)) == hash(Point(1, 0))
    assert replace(Point(1), y=2) == Point(1, 2)
    assert repr(Point(1)) == "Point(x=1, y=0, names={})"


def test_a_value_has_no_room_for_other_attributes() -> None:
    assert not hasattr(Point(1), "__dict__")
