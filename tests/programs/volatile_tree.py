"""A tree of files whose octets and names are lost after a power cut unless they were synced.

A file's octets are durable after a sync of the file, its name after a sync of the directory it is in. That is less than
most file systems keep, and all that POSIX promises.
"""

import random
import stat
from collections.abc import Iterable, Iterator

PAGE = 4096
SECTOR = 512


class Node:
    """A file or directory: its times, owner and mode, which a cut does not change here."""

    def __init__(self, mode: int, now: int = 0) -> None:
        self.mode = mode
        self.uid = self.gid = 0
        self.accessed = self.changed = now
        #: The name that it was given last, because some faults apply to files with certain names only.
        self.name = ""

    @property
    def size(self) -> int:
        """Octets."""
        return 0

    def sync(self) -> None:
        """Make the present content durable."""

    def lose(self) -> None:
        """Forget that anything is to be made durable, as the page cache does after a sync that failed."""

    def cut(self, survivors: random.Random | None) -> None:
        """Go back to the durable content; with `survivors` a random part of the rest is kept too."""


class File(Node):
    """Octets in pages, of which some are not durable yet."""

    def __init__(self, mode: int = stat.S_IFREG | 0o600, now: int = 0) -> None:
        super().__init__(mode, now)
        self._data = bytearray()
        self._durable = bytearray()
        self._dirty: set[int] = set()
        # The least length of the file since it was synced: no octet beyond it is durable.
        self._low = 0

    @property
    def size(self) -> int:
        """Octets."""
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """Return octets."""
        return bytes(self._data[offset : offset + size])

    def write(self, offset: int, octets: bytes) -> None:
        """Put octets there; a gap before them is zeros."""
        end = offset + len(octets)
        if offset > len(self._data):
            self.truncate(offset)
        self._data[offset:end] = octets
        self._dirty.update(range(offset // PAGE, (end - 1) // PAGE + 1))

    def truncate(self, size: int) -> None:
        """Cut off, or fill up with zeros."""
        if size < len(self._data):
            del self._data[size:]
            self._low = min(self._low, size)
            self._dirty = {page for page in self._dirty if page * PAGE < size}
        else:
            self._data.extend(bytes(size - len(self._data)))

    def sync(self) -> None:
        """Make all octets and the length durable."""
        del self._durable[self._low :]
        self._durable.extend(bytes(len(self._data) - len(self._durable)))
        for page in self._dirty:
            self._keep(page * PAGE, PAGE)
        self._dirty.clear()
        self._low = len(self._data)

    def lose(self) -> None:
        """Take all pages for clean: a later sync that succeeds does not write them."""
        self._dirty.clear()

    def cut(self, survivors: random.Random | None) -> None:
        """Go back to the durable octets."""
        if survivors is not None:
            self._keep_some(survivors)
        self._data = bytearray(self._durable)
        self._dirty.clear()
        self._low = len(self._data)

    def _keep_some(self, survivors: random.Random) -> None:
        if survivors.random() < 0.5:
            del self._durable[self._low :]
        for page in self._dirty:
            # A page arrives, or not, or in parts.
            share = survivors.choice((0.0, 0.5, 1.0))
            for start in range(page * PAGE, (page + 1) * PAGE, SECTOR):
                if survivors.random() < share:
                    self._keep(start, SECTOR)

    def _keep(self, start: int, size: int) -> None:
        octets = self._data[start : start + size]
        self._durable.extend(bytes(max(0, start + len(octets) - len(self._durable))))
        self._durable[start : start + len(octets)] = octets


class Fate:
    """Whether a change of names that was not synced is there after a cut: one for both halves of a rename.

    A file system with a journal moves a name from one directory to another at one stroke.
    """

    def __init__(self) -> None:
        self._kept: bool | None = None

    def kept(self, survivors: random.Random) -> bool:
        """Decide, once."""
        if self._kept is None:
            self._kept = survivors.random() < 0.5
        return self._kept

    def keep(self) -> None:
        """A half of it was synced."""
        self._kept = True


class Directory(Node):
    """Names, of which some are not durable yet."""

    def __init__(self, mode: int = stat.S_IFDIR | 0o755, now: int = 0) -> None:
        super().__init__(mode, now)
        self.entries: dict[str, Node] = {}
        self._durable: dict[str, Node] = {}
        self._changes: list[tuple[dict[str, Node | None], Fate]] = []

    def change(self, names: dict[str, Node | None], fate: Fate | None = None) -> None:
        """Give names to nodes, or take them away (None), all at once."""
        _apply(names, self.entries)
        self._changes.append((names, fate or Fate()))

    def sync(self) -> None:
        """Make all names durable."""
        self._durable = dict(self.entries)
        for _, fate in self._changes:
            fate.keep()
        self._changes.clear()

    def cut(self, survivors: random.Random | None) -> None:
        """Go back to the durable names, and cut the nodes behind them too."""
        for names, fate in self._changes:
            if survivors is not None and fate.kept(survivors):
                _apply(names, self._durable)
        self.entries = dict(self._durable)
        self._changes.clear()
        for node in self.entries.values():
            node.cut(survivors)


def _apply(names: dict[str, Node | None], entries: dict[str, Node]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node
            node.name = name


class Tree:
    """A file system of these, by paths. Raises FileNotFoundError and its kin."""

    def __init__(self) -> None:
        self.root = Directory()

    def find(self, path: str) -> Node:
        """Return the node at a path."""
        node: Node = self.root
        for name in _names(path):
            node = _directory(node).entries.get(name) or _missing(path)
        return node

    def parent(self, path: str) -> tuple[Directory, str]:
        """Return the directory a path lies in, and its name there."""
        *above, name = _names(path)
        return _directory(self.find("/".join(above))), name

    def add(self, path: str, node: Node) -> None:
        """Give a new node a name."""
        folder, name = self.parent(path)
        if name in folder.entries:
            raise FileExistsError(17, "File exists", path)
        folder.change({name: node})

    def remove(self, path: str) -> None:
        """Take a name away; a directory must be empty."""
        node = self.find(path)
        if isinstance(node, Directory) and node.entries:
            raise OSError(39, "Directory not empty", path)
        folder, name = self.parent(path)
        folder.change({name: None})

    def rename(self, old: str, new: str) -> None:
        """Move a name; between two directories each has its own half to be synced."""
        node = self.find(old)
        (source, before), (target, after) = self.parent(old), self.parent(new)
        if source is target:
            source.change({before: None, after: node})
        else:
            fate = Fate()
            target.change({after: node}, fate)
            source.change({before: None}, fate)

    def cut(self, survivors: random.Random | None = None) -> None:
        """Let the power fail."""
        self.root.cut(survivors)

    def octets(self) -> int:
        """Return how many octets all files have."""
        return sum(node.size for node in _all(self.root.entries.values()))


def _all(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        if isinstance(node, Directory):
            yield from _all(node.entries.values())


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _directory(node: Node) -> Directory:
    if not isinstance(node, Directory):
        raise NotADirectoryError(20, "Not a directory")
    return node


def _missing(path: str) -> Node:
    raise FileNotFoundError(2, "No such file or directory", path)
