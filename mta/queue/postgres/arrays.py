"""Arrays as parameters in the binary format of PostgreSQL.

The driver converts each element of a list by a call of its own, which made a third of the relay's work for a message
(measured). Most columns of a batch have few different values, and these are converted once here.
"""

from collections.abc import Callable, Hashable
from struct import Struct
from typing import Any

from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

# Dimensions, whether there are NULLs, the type of the elements, their number, and the number of the first.
_HEAD = Struct(">iiIii").pack
_LENGTH = Struct(">i").pack
_INT4, _INT8, _FLOAT8 = Struct(">ii").pack, Struct(">iq").pack, Struct(">id").pack
_NULL = _LENGTH(-1)


class Texts(list[str | None]):
    """An array of texts."""


class Octets(list[bytes]):
    """An array of octet strings."""


class Integers(list[int | None]):
    """An array of integers of 32 bits."""


class Numbers(list[int | None]):
    """An array of integers of 64 bits."""


class Floats(list[float]):
    """An array of floating-point numbers."""


class Booleans(list[bool]):
    """An array of truth values."""


def _text(value: str) -> bytes:
    octets = value.encode()
    return _LENGTH(len(octets)) + octets


class _ArrayDumper(Dumper):
    """Converts an array. A class for each type has the numbers of its types, and the conversion of an element."""

    format = Format.BINARY
    element_oid: int
    element: Callable[[Any], bytes]

    def dump(self, obj: list[Hashable]) -> bytes:
        """Return the array as PostgreSQL reads it."""
        element = type(self).element
        known = {value: element(value) for value in {*obj} if value is not None}
        known[None] = _NULL
        head = _HEAD(1, None in obj, self.element_oid, len(obj), 1) if obj else _HEAD(0, 0, self.element_oid, 0, 0)[:12]
        return b"".join([head, *map(known.__getitem__, obj)])


class _TextsDumper(_ArrayDumper):
    oid, element_oid, element = 1009, 25, staticmethod(_text)


class _OctetsDumper(_ArrayDumper):
    oid, element_oid = 1001, 17

    def dump(self, obj: list[Any]) -> bytes:
        """Return the array; octet strings are not compared, because they are long."""
        pieces = [_HEAD(1, 0, self.element_oid, len(obj), 1)]
        for octets in obj:
            pieces += (_LENGTH(len(octets)), octets)
        return b"".join(pieces)


class _IntegersDumper(_ArrayDumper):
    oid, element_oid, element = 1007, 23, staticmethod(lambda value: _INT4(4, value))


class _NumbersDumper(_ArrayDumper):
    oid, element_oid, element = 1016, 20, staticmethod(lambda value: _INT8(8, value))


class _FloatsDumper(_ArrayDumper):
    oid, element_oid, element = 1022, 701, staticmethod(lambda value: _FLOAT8(8, value))


class _BooleansDumper(_ArrayDumper):
    oid, element_oid, element = 1000, 16, staticmethod(lambda value: b"\0\0\0\1\1" if value else b"\0\0\0\1\0")


_DUMPERS: dict[type, type[Dumper]] = {
    Texts: _TextsDumper,
    Octets: _OctetsDumper,
    Integers: _IntegersDumper,
    Numbers: _NumbersDumper,
    Floats: _FloatsDumper,
    Booleans: _BooleansDumper,
}


def register(connection: "Connection[Any]") -> None:
    """Have a connection convert these arrays."""
    for kind, dumper in _DUMPERS.items():
        connection.adapters.register_dumper(kind, dumper)
