"""`python -m tests.fuzz.distil`: keeps a few of all inputs of campaigns, which together reach the same code."""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.corpus import keep, kept
from tests.fuzz.growing import forget
from tests.fuzz.table import TARGETS
from tests.fuzz.target import Target

_FOLDER = Path(".cache/fuzz")
_MTA = str(Path(__file__).parents[2] / "mta")
_LONGEST = 400
# Longer texts than the tests want to read: the least useful are left out.
_MOST = 60
_Step = tuple[str, int, int]


def reached(target: Target[Any], data: bytes) -> set[_Step]:
    """Return the steps from line to line in mta/ that an input takes."""
    steps: set[_Step] = set()
    before: dict[FrameType, int] = {}

    def line(frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line":
            steps.add((frame.f_code.co_filename, before.get(frame, 0), frame.f_lineno))
            before[frame] = frame.f_lineno
        return line

    def call(frame: FrameType, _event: str, _arg: object) -> Any:
        return line if frame.f_code.co_filename.startswith(_MTA) else None

    forget()
    sys.settrace(call)
    try:
        target.octets(data)
    finally:
        sys.settrace(None)
    return steps


def chosen(target: Target[Any], inputs: Iterable[bytes]) -> list[bytes]:
    """Return the inputs that reach something which no shorter one reached, the most useful of them."""
    seen: set[_Step] = set()
    useful: list[tuple[int, bytes]] = []
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        new = reached(target, data) - seen
        if new:
            useful.append((len(new), data))
            seen |= new
    useful.sort(key=lambda one: -one[0])
    return [data for _, data in useful[:_MOST]]


def main() -> None:
    """Distil each target's corpus."""
    for name, target in TARGETS.items():
        folder = _FOLDER / f"{name}-octets"
        left = [path.read_bytes() for path in folder.iterdir()] if folder.is_dir() else []
        inputs = chosen(target, {data for data in (*kept(name), *left) if len(data) <= _LONGEST})
        keep(name, inputs)
        print(f"{name:9} {len(inputs):4} inputs of {len(left)}")


if __name__ == "__main__":
    main()
