"""A header block as a list of fields that can be read, replaced, removed and added, and a block cut at some fields."""

import re
from collections.abc import Callable, Collection, Sequence

# A field with its continuation lines, and its name; in a header block every other line is one
# (`mta.message.headers.header_end`).
_FIELD = re.compile(rb"(([^:\n \t]*+)[^\n]*+\n?+(?>(?:[ \t][^\n]*+\n?+)*))")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


class SelectedFields:
    """Cuts header blocks at the fields with some names, so that only these are read. Names are given in lower case.

    In the pieces of a block, each line has a line feed before it and not at its end. So the first piece begins with a
    line feed that the block does not have, and the same search finds a first field and all others.
    """

    __slots__ = ("_split",)

    def __init__(self, names: Collection[bytes]) -> None:
        firsts = b"".join(sorted({re.escape(name[:1]) for name in names}))
        # Few lines begin with the first letter of one of the names, which saves most comparisons with all of them.
        pattern = rb"(\n(?=[%b])(?:%b)[ \t]*+:[^\n]*+(?>(?:\n[ \t][^\n]*+)*))" % (
            firsts,
            b"|".join(map(re.escape, sorted(names))),
        )
        self._split: Callable[[bytes], list[bytes]] = re.compile(pattern, re.IGNORECASE).split if names else _whole

    def cut(self, block: bytes) -> list[bytes]:
        """Return the pieces of a block: at odd places the fields with these names, at even ones all between them."""
        return self._split(b"\n" + block)


def _whole(text: bytes) -> list[bytes]:
    return [text]


def joined(pieces: Sequence[bytes]) -> bytes:
    """Return the block that is made up of pieces. A last line without its line end gets one."""
    block = b"".join(pieces)[1:]
    return block if not block or block.endswith(b"\n") else block.rstrip(b"\r") + b"\r\n"


class HeaderFields:
    """The fields of one header block. Names are given in lower case. Fields that are not changed keep their octets.

    A removed field leaves an empty one, and fields are added on top, so that those of the block keep their order.
    """

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

    def pieces(self, count: int) -> tuple[bytes, list[bytes]]:
        """Return the added fields as one piece, and those that the `count` fields of the block have become."""
        pieces = [b"\n" + field[:-1] if field else b"" for field in self._fields]
        added = len(pieces) - count
        return b"".join(pieces[:added]), pieces[added:]

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
        """Leave empty fields at these places."""
        for place in places:
            self._fields[place] = self._names[place] = b""


def unfolded(value: bytes) -> bytes:
    """Return a value without its folds."""
    return _FOLD.sub(b"", value)


def _end(field: bytes) -> int:
    """Return the number of octets of a field's line end."""
    return 2 if field.endswith(b"\r\n") else field.endswith(b"\n")


def _value(field: bytes) -> bytes:
    return field[field.find(b":") + 1 : len(field) - _end(field)]
