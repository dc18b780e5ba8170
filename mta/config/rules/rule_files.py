"""Finds and reads the files of rules in a directory, and the lists in files that rules name. All reads are bounded."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.toml_tables import TomlTable, read_tables
from mta.config.setting import cannot_read, shorten
from mta.file_states import FileRecord

#: The end of the name of a file of rules.
SUFFIX = ".toml"
#: The files of a directory, and the octets of one file.
MAX_FILES = 200
MAX_OCTETS = 1 << 20
#: The octets and the entries of a list in a file.
MAX_LIST_OCTETS = 16 << 20
MAX_LIST_ENTRIES = 100_000
# Names of a directory that are looked at.
_MAX_NAMES = 10_000
_LISTED = 3


@dataclass(frozen=True, slots=True)
class RuleSource:
    """The tables of one file, or of a variable that stands for a rule."""

    #: The path of the file, or the name of the variable.
    path: str
    #: The name of the file in the log.
    name: str
    tables: list[TomlTable]
    #: For the digest of the rules.
    text: str = field(repr=False)


def read_directory(directory: Path, mistakes: RuleMistakes, record: FileRecord) -> tuple[list[RuleSource], list[str]]:
    """Return the files of rules in a directory in the order of their names, and notices.

    Symbolic links are followed. `record` notes the directory and each file before it is read. Raises OSError if the
    directory cannot be read.
    """
    record.note(directory)
    names = _names(directory)
    wanted = [name for name in names if name.endswith(SUFFIX) and _is_file(directory / name, record)]
    if len(wanted) > MAX_FILES:
        mistakes.add(str(directory), 0, f"there are more than {MAX_FILES} files of rules; put more rules into each")
        return [], []
    sources = [source for name in wanted for source in _read_source(directory / name, mistakes)]
    return sources, _notices(directory, sorted(set(names) - set(wanted)))


def read_list(path: str, record: FileRecord) -> list[tuple[int, str]]:
    """Return the entries of a list in a file with the numbers of their lines. `record` notes the file.

    An entry is a line; empty lines and those that begin with `#` do not count. Raises ValueError with words for the
    operator.
    """
    if not path.startswith("/") or "\0" in path:
        raise ValueError("the path of a list begins with /, file:/etc/smtprelay/lists/staff")
    record.note(path)
    try:
        text = _text(read_regular_file(Path(path), MAX_LIST_OCTETS))
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    lines = enumerate(map(str.strip, text.split("\n")), 1)
    entries = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not entries:
        raise ValueError("the list is empty, which could mean all or none; leave the condition out")
    if len(entries) > MAX_LIST_ENTRIES:
        raise ValueError(f"the list has more than {MAX_LIST_ENTRIES} entries; divide it")
    return entries


def _names(directory: Path) -> list[str]:
    """Return the sorted names in a directory that do not begin with a dot, as those of Kubernetes' own links do."""
    names = []
    with os.scandir(directory) as found:
        for entry in found:
            if not entry.name.startswith("."):
                names.append(entry.name)
            if len(names) > _MAX_NAMES:
                break
    return sorted(names)


def _notices(directory: Path, others: list[str]) -> list[str]:
    if not others:
        return []
    names = ", ".join(shorten(name, 40) for name in others[:_LISTED])
    more = f" and {len(others) - _LISTED} more" if others[_LISTED:] else ""
    return [f"{directory}: not read, because the name of a file of rules ends in {SUFFIX}: {names}{more}"]


def _read_source(path: Path, mistakes: RuleMistakes) -> Iterator[RuleSource]:
    try:
        content = read_regular_file(path, MAX_OCTETS)
    except ValueError as error:
        mistakes.add(str(path), 1, str(error))
        return
    try:
        text = _text(content)
    except UnicodeDecodeError as error:
        mistakes.add(
            str(path), content.count(b"\n", 0, error.start) + 1, "the line is not UTF-8; save the file as UTF-8"
        )
        return
    tables, found = read_tables(text)
    for each in found:
        mistakes.add(str(path), each.line, each.words)
    yield RuleSource(str(path), shorten(path.name), tables, text)


def _is_file(path: Path, record: FileRecord) -> bool:
    """Whether a path is not that of a directory, so that it must be read."""
    record.note(path)
    try:
        return not path.is_dir()
    except OSError:
        return True


def read_regular_file(path: Path, limit: int) -> bytes:
    """Return the octets of a regular file, at most `limit`. Raises ValueError with words for the operator."""
    try:
        # Without O_NONBLOCK, opening a named pipe waits for its writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is not a regular file")
            content = file.read(limit + 1)
    except OSError as error:
        raise ValueError(cannot_read("file", error)) from None
    if len(content) > limit:
        raise ValueError(f"the file is longer than {limit} octets; divide it")
    return content


def _text(content: bytes) -> str:
    """Return UTF-8 text without a byte order mark. Raises UnicodeDecodeError."""
    return content.decode("utf-8-sig").replace("\r\n", "\n")
