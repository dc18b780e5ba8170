"""A target of fuzzing: makes inputs of octets, draws inputs, and checks the properties of every input."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, pairwise, takewhile
from typing import Generic, TypeVar

from hypothesis import strategies as st

Input = TypeVar("Input")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Growth(Generic[Input]):
    """A hostile shape that can be made any size; `check` of twice the size must not take more than twice the work."""

    name: str
    make: Callable[[int], Input]
    #: The smallest size at which the shape's own work outweighs the fixed cost of an input.
    size: int = 1 << 14
    #: Another piece of work than the target's check.
    work: Callable[[Input], object] | None = None


@dataclass(frozen=True, slots=True)
class Target(Generic[Input]):
    """One part of the relay. `check` raises for a forbidden result of the part, and lets exceptions pass through."""

    name: str
    check: Callable[[Input], None]
    #: Makes an input of any octets; never raises.
    read: Callable[["Tape"], Input]
    #: Draws inputs with the shape of valid ones.
    inputs: st.SearchStrategy[Input]
    #: The words that a mutation may insert.
    words: tuple[bytes, ...]
    growth: tuple[Growth[Input], ...]

    def octets(self, data: bytes) -> None:
        """Check the input that these octets are."""
        self.check(self.read(Tape(data)))


class Tape:
    """Octets read from the front: choices first, then the rest. Beyond its end it reads zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """Take one octet."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def choose(self, items: Sequence[Item]) -> Item:
        """Choose an item by one octet."""
        return items[self.number() % len(items)]

    def rest(self) -> bytes:
        """Take all that is left."""
        start, self._at = self._at, len(self._data)
        return self._data[start:]


def pieces(data: bytes, way: int) -> tuple[bytes, ...]:
    """Cut octets in one of 256 ways: 0 not at all, 1 each from the next, others in pieces of several lengths."""
    if way == 0:
        return (data,)
    lengths = (1,) if way == 1 else (way % 7 + 1, way % 13 + 1, way % 64 + 1, 1)
    return tuple(_cut(data, lengths))


def _cut(data: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    ends = takewhile(lambda end: end < len(data), accumulate(cycle(lengths)))
    yield from (data[start:end] for start, end in pairwise((0, *ends, len(data))))


def sentences(vocabulary: Sequence[bytes], most: int = 16) -> st.SearchStrategy[bytes]:
    """Join words of a vocabulary, chosen by one draw: a draw costs more than most checks, and a million are wanted."""
    chosen = st.binary(max_size=most) | st.binary(min_size=most // 4, max_size=most)
    return chosen.map(lambda numbers: b"".join(vocabulary[number % len(vocabulary)] for number in numbers))


def each_octet(data: bytes) -> tuple[bytes, ...]:
    """Cut octets one by one."""
    return pieces(data, 1)


def is_line(text: str) -> bool:
    """Whether a text is one line of a log without hidden characters."""
    return text.isprintable()
