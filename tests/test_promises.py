"""docs/promises.md: each promise names its proof, and the proof exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "promises.md"
LINK = re.compile(r"\[`?([^]`]+)`?\]\(([^)]+)\)")
COMMAND = re.compile(r"`make ([a-z-]+)")


def promises() -> list[str]:
    """Return the page's list items, each as one line."""
    items = re.split(r"(?m)^- ", PAGE.read_text("utf-8"))[1:]
    return [" ".join(re.split(r"\n(?!  )", item)[0].split()) for item in items]


def proofs() -> list[tuple[str, str]]:
    return [(name, target) for promise in promises() for name, target in LINK.findall(promise)]


@pytest.mark.parametrize("promise", promises())
def test_each_promise_has_a_proof(promise: str) -> None:
    assert LINK.search(promise) or COMMAND.search(promise)


@pytest.mark.parametrize(("name", "target"), proofs())
def test_each_proof_is_there(name: str, target: str) -> None:
    file = (PAGE.parent / target).resolve()
    assert file.is_file(), f"{target} is not there"
    if file.suffix == ".py" and name != file.name:
        assert re.search(rf"(?m)^\s*(?:async )?(?:def|class) {name}\b", file.read_text("utf-8")), f"no {name} there"


def test_each_command_is_one_of_the_makefile() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8")))
    assert set(COMMAND.findall(PAGE.read_text("utf-8"))) <= targets
