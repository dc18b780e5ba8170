"""A header block as a list of fields that can be read, replaced, removed and added."""

import re
from collections.abc import Callable

# A field with its continuation lines; in a header block every other line is one (`mta.message.headers.header_end`).
_FIELD = re.compile(rb"([^:\n]*+):?[^\n]*+\n?+(?:[ \t][^\n]*+\n?+)*+")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


class HeaderFields:
    """The fields of one header block. Names are given in lower case. Fields that are not changed keep their octets."""

    __slots__ = ("_fields",)

    def __init__(self, block: bytes) -> None:
        #: The names in lower case, and the fields with their line ends.
        self._fields = [(found[1].rstrip(b" \t").lower(), found[0]) for found in _FIELD.finditer(block) if found[0]]

    @property
    def block(self) -> bytes:
        """The header block."""
        return b"".join(field for _, field in self._fields)

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of the fields with a name, with their folds and without the blanks around them."""
        return [_value(field).strip() for each, field in self._fields if each == name]

    def change(self, name: bytes, change: Callable[[bytes], bytes]) -> bool:
        """Replace the value of each field with a name, which has its folds and blanks. Return whether one changed."""
        changed = False
        for number, (each, field) in enumerate(self._fields):
            if each != name:
                continue
            value = _value(field)
            new = change(value)
            if new != value:
                start = len(field) - len(value) - _end(field)
                self._fields[number] = (name, b"".join((field[:start], new, field[start + len(value) :])))
                changed = True
        return changed

    def put(self, name: bytes, value: bytes) -> None:
        """Give a field a value in its place, on top if there is none. More fields with this name are removed."""
        places = [number for number, (each, _) in enumerate(self._fields) if each == name]
        if not places:
            self.add(name, value)
            return
        field = self._fields[places[0]][1]
        self._fields[places[0]] = (name, b"%b: %b\r\n" % (field.partition(b":")[0].rstrip(b" \t"), value))
        for number in reversed(places[1:]):
            del self._fields[number]

    def add(self, name: bytes, value: bytes) -> None:
        """Add a field on top. `name` is written as it is given."""
        self._fields.insert(0, (name.lower(), b"%b: %b\r\n" % (name, value)))

    def remove(self, name: bytes) -> bool:
        """Remove the fields with a name. Return whether there were any."""
        kept = [field for field in self._fields if field[0] != name]
        removed = len(kept) < len(self._fields)
        self._fields = kept
        return removed


def unfolded(value: bytes) -> bytes:
    """Return a value without its folds."""
    return _FOLD.sub(b"", value)


def _end(field: bytes) -> int:
    """Return the number of octets of a field's line end."""
    return 2 if field.endswith(b"\r\n") else field.endswith(b"\n")


def _value(field: bytes) -> bytes:
    return field[field.find(b":") + 1 : len(field) - _end(field)]
