"""The sources of the compiled build, and the build that runs if there is one."""

import importlib
import inspect
import pickle
import shutil
from enum import Enum
from pathlib import Path

import pytest

from harness.daemon import BUILD, Daemon
from mta.smtp.address import Address
from mta.smtp.domains import domain_list
from tools.compiling import COMPILED, INTERPRETED, ROOT, is_current, modules, prepared


def test_all_modules_of_the_packages_are_compiled_but_for_those_with_a_reason():
    names = list(modules())
    assert "mta/smtp/server/machine.py" in names
    assert not set(names) & set(INTERPRETED)
    assert {name if name in COMPILED else str(Path(name).parent) for name in names} == set(COMPILED)


def test_the_modules_that_stay_interpreted_exist():
    assert [name for name in INTERPRETED if not (ROOT / name).is_file()] == []


def test_no_interpreted_class_inherits_from_a_compiled_one():
    """Making an object of such a class fails. Protocols, enumerations and exceptions are no compiled classes."""
    compiled = {name.removesuffix(".py").replace("/", ".") for name in modules()}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "mta").rglob("*.py") if path.stem != "__main__"}
    names = {name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in sources}
    found = []
    for name in sorted(names - compiled):
        for one in vars(importlib.import_module(name)).values():
            if inspect.isclass(one) and one.__module__ == name:
                bases = [base for base in one.__mro__[1:] if base.__module__ in compiled]
                found += [f"{name}.{one.__name__}" for base in bases if not may_be_a_base(base)]
    assert found == []


def may_be_a_base(one: type) -> bool:
    return issubclass(one, BaseException | Enum) or getattr(one, "_is_protocol", False)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "@dataclass(frozen=True, slots=True)\nclass A: ...",
            "@dataclass(unsafe_hash=True, slots=False)\nclass A: ...",
        ),
        ("@dataclass(frozen=True, slots=True, eq=False)", "@dataclass(frozen=True, slots=False, eq=False)"),
        ("@fast_value(frozen=True, slots=True)", "@fast_value(frozen=True, slots=False)"),
        ("@dataclass(slots=True, eq=False)", "@dataclass(slots=False, eq=False)"),
        ("slots=True", "slots=True"),
        ("f(slots=True)", "f(slots=True)"),
    ],
)
def test_only_slots_and_frozen_of_a_dataclass_are_changed(source, expected):
    assert prepared(source) == expected


@pytest.mark.parametrize("name", list(modules()))
def test_the_prepared_source_has_the_same_lines(name):
    source = (ROOT / name).read_text()
    assert len(prepared(source).splitlines()) == len(source.splitlines())
    assert "slots=True" not in prepared(source)


def test_a_compiled_build_is_current_until_a_source_changes_or_a_module_is_missing(tmp_path):
    shutil.copytree(ROOT / "mta", tmp_path / "mta", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    assert not is_current(tmp_path)
    libraries = [(tmp_path / name).with_suffix(".cpython.so") for name in modules()]
    for library in libraries:
        library.touch()
    assert is_current(tmp_path)
    libraries[0].rename(libraries[0].with_name("other.cpython.so"))
    assert not is_current(tmp_path)
    libraries[0].touch()
    with (tmp_path / "mta" / "blocking.py").open("a") as source:
        source.write("#")
    assert not is_current(tmp_path)


def test_in_a_compiled_build_all_these_modules_are_compiled():
    found = {name: importlib.import_module(name.removesuffix(".py").replace("/", ".")).__file__ for name in modules()}
    if BUILD == ROOT:
        assert all(str(file).endswith(".py") for file in found.values())
    else:
        assert [name for name, file in found.items() if str(file).endswith(".py")] == []


@pytest.mark.endtoend
def test_the_processes_of_a_relay_that_tests_start_run_this_build(tmp_path):
    libraries = {str(library) for library in BUILD.glob("*.so")}
    assert bool(libraries) == (BUILD != ROOT)
    with Daemon(tmp_path / "relay", WORKERS="2") as relay:
        relay.wait_for_events("started")
        processes = [relay.child.pid, *relay.workers().values()]
        assert len(processes) == 3
        for process in processes:
            mapped = Path(f"/proc/{process}/maps").read_text().split()
            assert {path for path in mapped if path.endswith(".so") and "mypyc" in path} == libraries


@pytest.mark.parametrize("value", [Address("user", "example.test"), domain_list(["example.test"])], ids=str)
def test_values_in_the_settings_can_be_handed_to_workers(value):
    assert pickle.loads(pickle.dumps(value)) == value
