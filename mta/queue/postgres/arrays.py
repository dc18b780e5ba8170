"""Arrays in the binary format of PostgreSQL, as values of prepared statements.

The driver converts each element of a list by a call of its own, which made a third of the relay's work for a message
(measured). Most columns of a batch have few different values, and these are converted once here. A batch with one
message has forty arrays of one element, which have a short way of their own.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from struct import Struct, unpack_from
from typing import Any

#: Returns the array of a sequence of elements.
ToArray = Callable[[Sequence[Any]], bytes]

# Dimensions, whether there are NULLs, the type of the elements, their number, and the number of the first.
_HEAD = Struct(">iiIii").pack
_EMPTY_OCTETS = 12
_LENGTH = Struct(">i").pack
_NULL = _LENGTH(-1)
# Elements of an array that are converted by one call, whose Struct is kept and takes 64 octets for each.
_MOST_PAIRS = 256
# The numbers of the types.
_OF_BOOLEANS, _OF_OCTETS, _OF_NUMBERS, _OF_INTEGERS, _OF_TEXTS, _OF_FLOATS = 16, 17, 20, 23, 25, 701
# The head of an array of one text, and the arrays of one number: the head, the length and the element.
_ONE_TEXT = _HEAD(1, 0, _OF_TEXTS, 1, 1)
_ONE_INTEGER, _ONE_NUMBER, _ONE_FLOAT = (Struct(f">iiIiii{letter}").pack for letter in "iqd")


def texts(values: Sequence[str | None]) -> bytes:
    """Return an array of texts. They lose NUL, and lone surrogates become `?`, because a column has neither."""
    if len(values) == 1 and (value := values[0]) is not None:
        return _ONE_TEXT + _text(value)
    return _of_elements(values, _OF_TEXTS, _text)


def integers(values: Sequence[int | None]) -> bytes:
    """Return an array of integers of 32 bits."""
    return _of_numbers(values, _OF_INTEGERS, "i", 4, _ONE_INTEGER)


def numbers(values: Sequence[int | None]) -> bytes:
    """Return an array of integers of 64 bits."""
    return _of_numbers(values, _OF_NUMBERS, "q", 8, _ONE_NUMBER)


def floats(values: Sequence[float | None]) -> bytes:
    """Return an array of floating-point numbers."""
    return _of_numbers(values, _OF_FLOATS, "d", 8, _ONE_FLOAT)


def booleans(values: Sequence[bool | None]) -> bytes:
    """Return an array of truth values."""
    return _of_elements(values, _OF_BOOLEANS, _boolean)


def octets(values: Sequence[bytes]) -> bytes:
    """Return an array of octet strings. They are not compared, because they are long."""
    pieces = [_head(_OF_OCTETS, len(values), nulls=False)]
    for value in values:
        pieces += (_LENGTH(len(value)), value)
    return b"".join(pieces)


def read_numbers(array: bytes | None) -> tuple[int, ...]:
    """Return the elements of an array of integers of 64 bits, none of which is NULL; the array may be."""
    if array is None or len(array) == _EMPTY_OCTETS:
        return ()
    count: int = unpack_from(">i", array, _EMPTY_OCTETS)[0]
    # Each element follows its length.
    return unpack_from(">" + "4xq" * count, array, _EMPTY_OCTETS + 8)


def _text(value: str) -> bytes:
    encoded = value.encode("utf-8", "replace")
    if b"\0" in encoded:
        encoded = encoded.replace(b"\0", b"")
    return _LENGTH(len(encoded)) + encoded


def _boolean(value: bool) -> bytes:
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def _of_elements(values: Sequence[Hashable], kind: int, element: Callable[[Any], bytes]) -> bytes:
    """Return an array whose elements are converted once for each value."""
    different = {*values}
    head = _head(kind, len(values), nulls=None in different)
    if len(different) == 1:
        (value,) = different
        return head + (_NULL if value is None else element(value)) * len(values)
    known = {value: _NULL if value is None else element(value) for value in different}
    return head + b"".join(map(known.__getitem__, values))


def _of_numbers(
    values: Sequence[float | None], kind: int, letter: str, octets: int, one: Callable[..., bytes]
) -> bytes:
    """Return an array whose elements have a fixed number of octets.

    `letter` is their format for `struct`, and `one` returns the array of one element.
    """
    if len(values) == 1 and (value := values[0]) is not None:
        return one(1, 0, kind, 1, 1, octets, value)
    if None in values or len(values) > _MOST_PAIRS:
        return _of_elements(values, kind, partial(_pairs(letter, 1), octets))
    lengths_and_values: list[Any] = [octets] * (2 * len(values))
    lengths_and_values[1::2] = values
    return _head(kind, len(values), nulls=False) + _pairs(letter, len(values))(*lengths_and_values)


@lru_cache(maxsize=1024)
def _pairs(letter: str, count: int) -> Callable[..., bytes]:
    """Return the conversion of that many elements, _MOST_PAIRS at most, each after its length."""
    return Struct(">" + f"i{letter}" * count).pack


def _head(kind: int, count: int, *, nulls: bool) -> bytes:
    return _HEAD(1, nulls, kind, count, 1) if count else _HEAD(0, 0, kind, 0, 0)[:_EMPTY_OCTETS]
