"""docs/twisted-internals.md lists every detail of Twisted's insides that the relay uses, and Twisted still has them."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny
from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "twisted-internals.md"
ROWS = re.findall(r"^\| `(twisted\.[\w.]+)` \| .+ \| `(tests/[\w/]+\.py)` \|$", PAGE.read_text(), re.MULTILINE)
# Private names that are not Twisted's: of the modules `os` and `enum`.
OTHERS = {"_exit", "_value_"}


def modules() -> dict[str, ast.Module]:
    paths = sorted((ROOT / "mta").rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text()) for path in paths}


def defined(tree: ast.Module) -> set[str]:
    """Return all names that a module defines or assigns."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def private_names(tree: ast.Module) -> set[str]:
    """Return the private attributes that a module reads."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr) and isinstance(node.ctx, ast.Load)
    }


def test_the_page_has_a_row_for_each_private_name_of_twisted_that_a_module_uses() -> None:
    trees = modules()
    foreign = set()
    for tree in trees.values():
        own = defined(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in trees:
                own |= defined(trees[node.module])
        foreign |= private_names(tree) - own
    assert foreign - OTHERS <= {name.rpartition(".")[2] for name, _ in ROWS}


@pytest.mark.parametrize("name", [name for name, _ in ROWS])
def test_twisted_has_the_detail(name: str) -> None:
    kind, _, attribute = name.rpartition(".")
    owner: Any = namedAny(kind)
    # Attributes of an instance appear only in the source of the class that assigns them, or of a base class.
    source = "".join(inspect.getsource(one) for one in owner.__mro__ if one.__module__.startswith("twisted."))
    assert hasattr(owner, attribute) or re.search(rf"\bself\.{attribute}\b|\b{attribute}=", source)


def test_the_page_names_tests_that_exist() -> None:
    assert ROWS
    assert [path for _, path in ROWS if not (ROOT / path).is_file()] == []
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == len(ROWS)


class Reader(Protocol):
    """Reads at most three octets at once."""

    transport: Any

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.bufferSize = 3

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(None)


class Writer(Protocol):
    """Sends more than that, and closes the connection."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.write(b"one two three")
        self.transport.loseConnection()


class ReadSize(TestCase):
    async def test_a_connection_reads_no_more_at_once_than_its_buffer_size(self) -> None:
        net: Any = reactor
        reader = Reader()
        factory = Factory.forProtocol(lambda: reader)  # type: ignore[arg-type]
        port = net.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        await connectProtocol(TCP4ClientEndpoint(net, "127.0.0.1", port.getHost().port), Writer())
        await reader.done
        assert b"".join(reader.pieces) == b"one two three"
        assert max(map(len, reader.pieces)) == 3
