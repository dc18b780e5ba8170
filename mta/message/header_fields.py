"""A header block as a list of fields that can be read, replaced, removed and added."""

import re
from collections.abc import Callable

# A field with its continuation lines, and its name; in a header block every other line is one
# (`mta.message.headers.header_end`).
_FIELD = re.compile(rb"(([^:\n \t]*+)[^\n]*+\n?+(?:[ \t][^\n]*+\n?+)*+)")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


class HeaderFields:
    """The fields of one header block. Names are given in lower case. Fields that are not changed keep their octets."""

    __slots__ = ("_fields", "_names", "changed", "changed_names")

    def __init__(self, block: bytes) -> None:
        found = _FIELD.findall(block)
        # At the end of the block the expression also matches the empty text.
        if found and not found[-1][0]:
            found.pop()
        # The fields with their line ends, and their names in lower case.
        self._fields: list[bytes] = [field for field, _ in found]
        self._names: list[bytes] = [name.lower() for _, name in found]
        #: Whether a field was changed, added or removed. The owner may set it back.
        self.changed = False
        #: The names of all such fields.
        self.changed_names: set[bytes] = set()

    @property
    def block(self) -> bytes:
        """The header block."""
        return b"".join(self._fields)

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of the fields with a name, with their folds and without the blanks around them."""
        return [_value(self._fields[place]).strip() for place in self._places(name)] if name in self._names else []

    def _places(self, name: bytes) -> list[int]:
        # Most fields are there once, for which two functions in C are faster than a loop.
        if self._names.count(name) == 1:
            return [self._names.index(name)]
        return [place for place, each in enumerate(self._names) if each == name]

    def change(self, name: bytes, change: Callable[[bytes], bytes]) -> bytes | None:
        """Replace the value of each field with a name, which has its folds and blanks.

        Return the new value of the topmost one that changed, or None.
        """
        topmost: bytes | None = None
        for place in self._places(name) if name in self._names else ():
            field = self._fields[place]
            begin, end = field.find(b":") + 1, len(field) - _end(field)
            value = field[begin:end]
            new = change(value)
            if new != value:
                self._fields[place] = b"%b%b%b" % (field[:begin], new, field[end:])
                self._changed(name)
                topmost = new if topmost is None else topmost
        return topmost

    def put(self, name: bytes, value: bytes) -> None:
        """Give a field a value in its place, on top if there is none. More fields with this name are removed."""
        places = self._places(name)
        if not places:
            self.add(name, value)
            return
        written = self._fields[places[0]].partition(b":")[0].rstrip(b" \t")
        self._fields[places[0]] = b"%b: %b\r\n" % (written, value)
        self._drop(places[1:])
        self._changed(name.lower())

    def add(self, name: bytes, value: bytes) -> None:
        """Add a field on top. `name` is written as it is given."""
        self.add_line(name.lower(), b"%b: %b\r\n" % (name, value))

    def add_line(self, name: bytes, line: bytes) -> None:
        """Add a field that is written with its line end on top."""
        self._fields.insert(0, line)
        self._names.insert(0, name)
        self._changed(name)

    def remove(self, name: bytes) -> bool:
        """Remove the fields with a name. Return whether there were any."""
        # Most rules ask in vain.
        if name not in self._names:
            return False
        self._drop(self._places(name))
        self._changed(name)
        return True

    def _changed(self, name: bytes) -> None:
        self.changed = True
        self.changed_names.add(name)

    def _drop(self, places: list[int]) -> None:
        """Remove the fields at these places, in time linear in the number of all fields."""
        if places:
            gone = frozenset(places)
            self._fields = [field for place, field in enumerate(self._fields) if place not in gone]
            self._names = [name for place, name in enumerate(self._names) if place not in gone]


def unfolded(value: bytes) -> bytes:
    """Return a value without its folds."""
    return _FOLD.sub(b"", value)


def _end(field: bytes) -> int:
    """Return the number of octets of a field's line end."""
    return 2 if field.endswith(b"\r\n") else field.endswith(b"\n")


def _value(field: bytes) -> bytes:
    return field[field.find(b":") + 1 : len(field) - _end(field)]
