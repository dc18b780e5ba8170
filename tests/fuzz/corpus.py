"""The small corpus kept with the tests: a text file a target, an input a line, its octets escaped as Python's."""

from collections.abc import Iterable
from pathlib import Path

_FOLDER = Path(__file__).parent / "corpus"


def kept(name: str) -> list[bytes]:
    """Return the inputs that are kept for a target."""
    lines = (_FOLDER / f"{name}.txt").read_text("ascii").splitlines()
    return [line.encode("ascii").decode("unicode_escape").encode("latin-1") for line in lines]


def keep(name: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs for a target, and no others."""
    lines = sorted(data.decode("latin-1").encode("unicode_escape").decode("ascii") for data in inputs)
    (_FOLDER / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "ascii")
