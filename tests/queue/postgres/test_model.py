"""The model of the shared queue in Promela: no fault with all of its guards, and a fault without any one of them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.length import choose

MODEL = Path(__file__).parents[3] / "queue_schema" / "postgres" / "model"
#: The events that a run may have, in the order of the numbers below.
EVENTS = ("CUTS", "FAILOVERS", "WARNINGS", "TAKEOVERS", "REFUSALS", "REMOVALS")
#: The numbers of events of the runs that must find nothing.
EXHAUSTIVE = choose([(1, 1, 0, 1, 0, 0)], [(1, 1, 1, 1, 1, 1), (2, 1, 1, 1, 0, 0), (1, 1, 0, 2, 1, 0)])
#: For each guard: the numbers of events that show what it protects from, and the promise that breaks without it.
GUARDS = {
    "FENCE": ((0, 0, 0, 1, 0, 0), "P4"),
    "SESSION": ((1, 0, 0, 0, 0, 0), "P5"),
    "OWN_STATEMENT": ((1, 0, 0, 0, 0, 0), "P9"),
    "MARK_OWNER": ((0, 0, 0, 0, 0, 1), "P7"),
    "ROW_LOCK": ((0, 0, 0, 0, 0, 1), "P7"),
    "SETTLE_OWNER": ((1, 0, 0, 1, 1, 0), "P6"),
    "WITHDRAW_OWNER": ((1, 1, 0, 1, 0, 0), "P8"),
    "HISTORY": ((1, 0, 0, 1, 0, 0), "P6"),
    "LOOK_AFTER": ((1, 0, 0, 1, 0, 0), "P6"),
    "CONFLICT": ((1, 0, 0, 0, 0, 0), "P8"),
    "COUNT": ((1, 0, 0, 0, 0, 0), "P3"),
    "LANE_WRITE": ((1, 1, 0, 0, 0, 0), "P1"),
    "SECOND_LOOK": ((1, 0, 0, 0, 0, 0), "P9"),
    "DOUBT": ((0, 0, 0, 1, 0, 0), "P6"),
    "KEPT_MARK": ((1, 0, 0, 1, 0, 0), "P6"),
    "MARK": ((0, 0, 0, 1, 0, 0), "P6"),
    "WARNING": ((0, 1, 1, 0, 0, 0), "P6"),
    "RELEASE": ((1, 0, 0, 1, 0, 0), "P5"),
    "IN_WORK": ((1, 0, 0, 0, 0, 0), "P8"),
}
#: Guards whose fault needs that the model takes the snapshot of a statement before it carries the statement out.
WITH_SNAPSHOTS = {"OWN_STATEMENT", "ROW_LOCK", "LOOK_AFTER"}
#: A part of the text of each promise, by which the checker reports a failed assertion.
PROMISES = {
    "P1": "acknowledged",
    "P2": "delivered<=1",
    "P3": "primary.accepted==",
    "P4": "fenced[primary.node]",
    "P5": "broken[me]",
    "P6": "copies<2",
    "P7": "forbidden",
    "P8": "refused",
    "P9": "ended_token==token",
}

pytestmark = pytest.mark.skipif(
    not (shutil.which("spin") and shutil.which("gcc")), reason="needs the Debian packages spin and gcc"
)


def explored(directory: Path, events: tuple[int, ...], *names: str, optimize: str = "-O0") -> str:
    """Return what the checker says after it looked at each reachable state of the model."""
    numbers = [f"-D{name}={number}" for name, number in zip(EVENTS, events, strict=True)]
    commands = (
        ["spin", "-a", *numbers, *(f"-D{name}" for name in names), str(MODEL / "queue.pml")],
        ["gcc", "-w", optimize, "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=3000", "-o", "pan", "pan.c"],
        ["./pan", "-m100000", "-n", "-E", "-w20"],
    )
    for command in commands:
        done = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize("events", EXHAUSTIVE, ids=lambda events: "-".join(map(str, events)))
def test_no_order_of_the_events_breaks_a_promise(events: tuple[int, ...], tmp_path: Path) -> None:
    said = explored(tmp_path, events, optimize=choose("-O0", "-O2"))
    assert "errors: 0" in said
    # Without these words the search ended early, and proves nothing.
    assert "max search depth too small" not in said
    assert "Search not completed" not in said


@pytest.mark.long
def test_the_time_of_a_snapshot_breaks_no_promise(tmp_path: Path) -> None:
    assert "errors: 0" in explored(tmp_path, (1, 0, 0, 1, 0, 1), "SNAPSHOTS")


@pytest.mark.long
@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_the_checker_finds_the_fault(guard: str, tmp_path: Path) -> None:
    events, promise = GUARDS[guard]
    snapshots = ["SNAPSHOTS"] if guard in WITH_SNAPSHOTS else []
    said = explored(tmp_path, events, f"NO_{guard}", *snapshots)
    assert "errors: 1" in said
    failed = next(line for line in said.splitlines() if "assertion violated" in line)
    assert PROMISES[promise] in failed.replace(" ", "")


def test_the_readme_names_each_guard_and_each_promise() -> None:
    readme = (MODEL / "README.md").read_text()
    model = (MODEL / "queue.pml").read_text()
    for guard in GUARDS:
        assert f"`NO_{guard}`" in readme
        assert f"NO_{guard}" in model
    for promise in PROMISES:
        assert f"| {promise} |" in readme
        assert f"/* {promise} */" in model
