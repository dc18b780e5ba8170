"""The comparison of instructions a message with the committed figures."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from bench import callgrind, load
from bench.instruction_figures import Build, Entry, find, lines, read, this_build, verdict, write
from harness.daemon import ROOT

HERE = this_build(compiled=False)
COMMITTED = Entry(HERE, {"Twisted": "26.10.0"}, {"B1": 1_000_000, "B2": 2_000_000})
SAME = {"Twisted": "26.10.0"}
# Runs the command in another build of Python, as it believes.
ELSEWHERE = """
import runpy, sys
sys.version += " (another build)"
runpy.run_module("bench.instructions", run_name="__main__")
"""


def command(*words: str, **environment: str) -> tuple[str, int]:
    """Return the output and the exit status of a command of Python."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout, done.returncode


@pytest.mark.parametrize("counted", [{"B1": 1_029_999, "B2": 2_000_000}, {"B1": 500_000, "B2": 2_059_999}])
def test_figures_may_fall_and_grow_by_three_percent(counted):
    assert verdict(COMMITTED, counted, SAME) == ""


def test_a_figure_that_grows_by_more_is_named_with_the_way_out():
    words = verdict(COMMITTED, {"B1": 1_000_000, "B2": 2_061_000}, SAME)
    assert words.startswith("B2: more than 3% more instructions a message than committed.")
    assert "make bench-instructions WRITE=1" in words


def test_a_package_that_has_changed_is_named_as_a_possible_cause():
    words = verdict(COMMITTED, {"B1": 2_000_000, "B2": 2_000_000}, {"Twisted": "27.1.0"})
    assert "(packages that have changed since: Twisted 27.1.0)" in words


def test_each_row_has_a_line_with_its_growth():
    assert lines(COMMITTED, {"B1": 1_010_000, "B2": 1_900_000}) == [
        "B1: 1,010,000 instructions a message, 1,000,000 committed, +1.0%",
        "B2: 1,900,000 instructions a message, 2,000,000 committed, -5.0%",
    ]


def test_figures_are_those_of_one_build_of_python(tmp_path):
    file = tmp_path / "figures.json"
    file.write_text("[]\n")
    compiled = Entry(replace(HERE, compiled=True), SAME, {"B1": 600_000})
    write(COMMITTED, file)
    write(compiled, file)
    better = replace(COMMITTED, instructions={"B1": 900_000})
    write(better, file)
    assert read(file) == [compiled, better]
    assert find(HERE, read(file)) == better
    assert find(Build("3.9", "m68k", compiled=False), read(file)) is None


def test_the_committed_figures_can_be_read():
    for entry in read():
        assert set(entry.instructions) == {"B1", "B2", "B5"}


def test_a_build_has_the_compiler_and_the_date_of_python():
    assert HERE.python == sys.version.replace("\n", "")
    assert json.dumps(HERE.python)


def test_without_valgrind_the_check_says_so_and_passes_and_no_figures_are_written():
    words = "not measured: valgrind and vgdb not found: install Debian's valgrind package\n"
    assert command("-m", "bench.instructions", PATH="") == (words, 0)
    assert command("-m", "bench.instructions", "--write", PATH="") == (words, 1)


@pytest.mark.skipif(bool(callgrind.why_not() or load.why_not()), reason=str(callgrind.why_not() or load.why_not()))
def test_with_a_python_without_figures_the_check_says_so_and_passes():
    another = replace(HERE, python=f"{HERE.python} (another build)")
    output, status = command("-c", ELSEWHERE, PATH=os.environ["PATH"])
    assert output.startswith(f"not measured: no figures for Python {another}. make")
    assert status == 0


def test_a_build_with_compiled_modules_is_called_so():
    assert str(Build("3.9.1", "m68k", compiled=True)) == "3.9.1 on m68k, with compiled modules"
