"""The world around the daemon: a DNS of its own, sinks and relays on demand, and the end of all of them."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.dns_process import Dns
from harness.network import NoNetworkError
from harness.waiting import until
from tests.endtoend import secure_world
from tests.endtoend.secure_world import SecureWorld
from tests.endtoend.world import World
from tests.queue.postgres.cluster import shared_cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that starts the real daemon."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.endtoend)


@pytest.fixture
def home() -> Iterator[Path]:
    """Return a folder that everyone may enter, as /var/spool is.

    Those of pytest are closed, and each start of another pytest closes them again.
    """
    with tempfile.TemporaryDirectory(prefix="relay-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture(scope="session")
def dns_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dns]:
    """Return a running DNS. Its process serves all tests, because its start costs more than most of them need."""
    server = Dns(tmp_path_factory.mktemp("dns"))
    with server.child:
        until(lambda: "ready" in server.child.text or not server.child.running, what="the DNS server")
        assert server.child.running, server.child.text
        yield server


@pytest.fixture
def dns(dns_process: Dns) -> Dns:
    """Return a running DNS that knows example.test and sender.test alone, both at 127.0.0.1."""
    dns_process.clear()
    dns_process.mail_host("example.test")
    dns_process.mail_host("sender.test")
    return dns_process


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a new database, in which relays share a queue. Skips without PostgreSQL."""
    server = shared_cluster()
    with server.temporary() as name:
        yield server.url(name)


@pytest.fixture
def world(dns: Dns, tmp_path: Path) -> Iterator[World]:
    """Return a maker of sinks and relays; when the test is over they end, the last made first.

    Before that all words of the relays are searched for the secrets of the test.
    """
    with ExitStack() as stack:
        world = World(dns, tmp_path, stack)
        yield world
        assert world.leaks() == []


@pytest.fixture
def secure(home: Path) -> Iterator[SecureWorld]:
    """Return a maker of signed domains, their servers and relays, in a network of their own."""
    with _world_or_skip(home) as world:
        yield world


@pytest.fixture(scope="module")
def shared_secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureWorld]:
    """Return such a maker that lives as long as the tests of a module."""
    with _world_or_skip(tmp_path_factory.mktemp("secure")) as world:
        yield world


@contextmanager
def _world_or_skip(home: Path) -> Iterator[SecureWorld]:
    reason = secure_world.why_not()
    if reason:
        pytest.skip(reason)
    try:
        with secure_world.secure_world(home) as world:
            yield world
    except NoNetworkError as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
