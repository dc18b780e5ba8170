"""The aliases file as it is now: read again whenever it has changed."""

import os
from collections.abc import Callable
from pathlib import Path

from mta.delivery.aliases import Aliases, parse_aliases
from mta.delivery.stamp import Stamp, stamp_of

#: Octets of an aliases file; one that is larger is not read.
MAX_OCTETS = 8 * 1024 * 1024


class AliasesFile:
    """Follows one file. What cannot be read changes nothing: the aliases read last stay in force."""

    def __init__(self, path: Path, notice: Callable[[str], None]) -> None:
        """Read it; `notice` gets a line for each thing that an operator should mend, once for each change."""
        self._path = path
        self._notice = notice
        self._aliases = Aliases()
        self._stamp: Stamp | None = None
        self._complaint = ""
        self.current()

    def current(self) -> Aliases:
        """Return the aliases of now. Costs a look at the file, and its reading when it is another than before."""
        try:
            if stamp_of(self._path.stat()) != self._stamp:
                self._read()
            self._complaint = ""
        except OSError as error:
            self._complain(f"cannot read the aliases file {self._path}: {error.strerror}; going on with what it said")
        return self._aliases

    def reload(self) -> None:
        """Read the file again, changed or not, and tell its mistakes again."""
        self._stamp, self._complaint = None, ""
        self.current()

    def _read(self) -> None:
        with self._path.open("rb") as file:
            # Of what is read, so that a change in the meantime is seen the next time.
            self._stamp = stamp_of(os.fstat(file.fileno()))
            octets = file.read(MAX_OCTETS + 1)
        if len(octets) > MAX_OCTETS:
            self._notice(f"the aliases file {self._path} has more than {MAX_OCTETS >> 20} MiB and is not read")
            return
        self._aliases = parse_aliases(octets.decode(errors="replace"))
        for notice in self._aliases.notices:
            self._notice(f"aliases file {self._path}, {notice}")

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            self._notice(text)
