"""SQL statements by name: a text with a `-- name:` line before each, and a dataclass with a field for each."""

import re
from typing import TypeVar

T = TypeVar("T")

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def read_statements(kind: type[T], text: str) -> T:
    """Return the statements of a text as a dataclass. Raises ValueError if their names are not its fields."""
    _, *parts = _NAME.split(text)
    found = {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
    wrong = found.keys() ^ kind.__annotations__.keys()
    if wrong or len(found) != len(parts) // 2:
        differing = ", ".join(sorted(wrong)) or "a name twice"
        raise ValueError(f"the SQL file and {kind.__name__} differ: {differing}")
    return kind(**found)
