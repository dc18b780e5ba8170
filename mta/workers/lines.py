"""The output of a worker on its way through the parent: whole lines only, so that those of several never mix."""

#: Octets of a line whose end has not come; a longer one is parted.
LONGEST = 1 << 20


class Lines:
    """Cuts what comes in pieces behind the last end of a line. In bulk: most pieces are passed on as they are."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take what came and return the lines that are whole now."""
        whole, end, rest = data.rpartition(b"\n")
        if end:
            lines, self._rest = self._rest + whole + end, rest
            return lines
        self._rest += rest
        return self.end() if len(self._rest) > LONGEST else b""

    def end(self) -> bytes:
        """Return what is left, which gets the end it lacks."""
        rest, self._rest = self._rest, b""
        return rest + b"\n" if rest else b""
