"""The house rules of docs/architecture.md, read from the source: who imports whom, no sleeps, nothing too long."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "mta").rglob("*.py"))
IN_ROOMS = [one for one in MODULES if one.parent.name != "mta"]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

T = TypeVar("T")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

_VALUES = {"mta.smtp", "mta.message"}
_SEAMS = {"mta.queue.interface", "mta.queue.ids", "mta.ops.journal", "mta.routing.route"}

# What each room may import of ours besides itself: a room with all that is in it, or one module. The modules
# beside the rooms are not here: they put the house together and may import everything.
MAY_IMPORT = {
    "mta.smtp": set(),
    "mta.message": {"mta.smtp"},
    "mta.config": {
        "mta.smtp",
        "mta.routing.route",
        "mta.routing.hostpatterns",
        "mta.delivery.backoff",
        "mta.delivery.localrule",
        "mta.inbound.networks",
    },
    "mta.inbound": _VALUES | _SEAMS | {"mta.wire"},
    "mta.delivery": _VALUES | _SEAMS | {"mta.routing.tls", "mta.wire"},
    "mta.wire": set(),
    "mta.workers": {"mta.message.outcome", "mta.delivery.window", "mta.delivery.throttle_replies"},
    "mta.queue": _VALUES,
    "mta.routing": _VALUES | {"mta.wire"},
    "mta.ops": _VALUES
    | {
        "mta.queue",
        "mta.config",
        "mta.delivery.aliasfile",
        "mta.delivery.keyring",
        "mta.inbound.keypair",
        "mta.__version__",
    },
}
# Stricter than their rooms: seams are known to all and so know little.
MAY_IMPORT_EXACTLY = {
    "mta.queue.interface": _VALUES,
    "mta.queue.ids": {"mta.queue.interface"},
    "mta.routing.route": {"mta.message.outcome"},
    "mta.routing.hostpatterns": set(),
    "mta.ops.journal": _VALUES | {"mta.queue.interface", "mta.ops.repeats"},
    "mta.delivery.backoff": set(),
    "mta.delivery.localrule": {"mta.smtp"},
    "mta.inbound.networks": set(),
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield the full names of all that is imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def ours(tree: ast.Module) -> set[str]:
    return {name for name in imports(tree) if within(name, "mta") or within(name, "queue_schema")}


def rule_of(module: str) -> str:
    """Return whose rule a module follows: its own, or that of its room."""
    return module if module in MAY_IMPORT_EXACTLY else ".".join(module.split(".")[:2])


def strangers(module: str, tree: ast.Module) -> list[str]:
    """Return what a module imports of ours though it must not."""
    rule = rule_of(module)
    allowed = MAY_IMPORT_EXACTLY[rule] if rule in MAY_IMPORT_EXACTLY else MAY_IMPORT[rule] | {rule}
    return sorted(name for name in ours(tree) if not any(within(name, one) for one in allowed))


@cache
def parse(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def only_offenders(found: Mapping[str, T]) -> dict[str, T]:
    """Return the files in which a rule found something."""
    return {path: offences for path, offences in found.items() if offences}


def test_modules_import_only_their_rooms_dependencies():
    found = {path: strangers(name_of(ROOT / path), parse(path)) for path in names(IN_ROOMS)}
    assert only_offenders(found) == {}


def test_nothing_is_allowed_that_nobody_makes_use_of():
    used: dict[str, set[str]] = {rule: set() for rule in MAY_IMPORT | MAY_IMPORT_EXACTLY}
    for path in names(IN_ROOMS):
        used[rule_of(name_of(ROOT / path))] |= ours(parse(path))
    for rule, allowed in (MAY_IMPORT | MAY_IMPORT_EXACTLY).items():
        assert [one for one in sorted(allowed) if not any(within(name, one) for name in used[rule])] == [], rule


@pytest.mark.parametrize(
    ("module", "text", "stranger"),
    [
        ("mta.smtp.client", "from mta.message.body import Body", "mta.message.body.Body"),
        ("mta.inbound.intake", "from mta.queue.sqlite import SqliteQueue", "mta.queue.sqlite.SqliteQueue"),
        ("mta.delivery.service", "def f():\n  import mta.inbound.policy", "mta.inbound.policy"),
        ("mta.inbound.policy", "from mta.config import settings", "mta.config.settings"),
        ("mta.queue.interface", "from mta.queue.sqlite import X", "mta.queue.sqlite.X"),
    ],
)
def test_an_upward_import_is_found(module, text, stranger):
    assert strangers(module, ast.parse(text)) == [stranger]


def test_the_language_knows_no_socket_no_clock_and_no_framework():
    forbidden = {"twisted", "zope", "socket", "ssl", "time", "asyncio", "logging"}
    modules = names(sorted((ROOT / "mta" / "smtp").rglob("*.py")))
    found = {path: [name for name in imports(parse(path)) if name.split(".")[0] in forbidden] for path in modules}
    assert modules
    assert only_offenders(found) == {}


def test_no_module_imports_the_global_reactor_at_its_top():
    found = {}
    for path in names(MODULES):
        top = ast.Module([node for node in parse(path).body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        found[path] = [name for name in imports(top) if within(name, "twisted.internet.reactor")]
    assert only_offenders(found) == {}


def test_no_module_and_no_test_sleeps():
    assert only_offenders({path: sleeps(parse(path)) for path in names(MODULES + TESTS)}) == {}


def sleeps(tree: ast.Module) -> list[str | int]:
    """Return the imports of a `sleep` and the lines that call one."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    lines = [call.lineno for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "sleep"]
    return [*(name for name in imports(tree) if name.endswith(".sleep")), *lines]


def test_a_file_fits_in_a_readers_head():
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in names(MODULES)}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_a_function_fits_on_a_page():
    assert only_offenders({path: long_functions(parse(path)) for path in names(MODULES + TESTS)}) == {}


def long_functions(tree: ast.Module) -> dict[str, int]:
    """Return the functions that are too long, with their numbers of lines."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions if node.end_lineno is not None}
    return {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES}


def test_no_module_asks_the_c_library_for_a_date():
    """On a 32-bit system these functions know no time after 2038-01-19: `mta.message.dates` computes dates itself."""
    forbidden = {"gmtime", "localtime", "mktime", "ctime", "asctime", "fromtimestamp", "utcfromtimestamp", "formatdate"}
    found = {
        path: [
            node.attr for node in ast.walk(parse(path)) if isinstance(node, ast.Attribute) and node.attr in forbidden
        ]
        for path in names(MODULES)
    }
    assert only_offenders(found) == {}
