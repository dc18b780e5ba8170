"""The scenes: loopback, where 127.0.0.2 plays a stranger, and two networks with a cable between them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.certificates import Authority, authority
from harness.daemon import Daemon
from harness.dns_process import Dns
from harness.network import NoNetworkError
from harness.waiting import until
from tests.acceptance.internet import Internet
from tests.acceptance.stage import Stage, Through, settled, smarthost


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that starts the real daemon."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.endtoend)


@pytest.fixture(scope="session")
def root() -> Authority:
    """Return the authority that the relays trust."""
    return authority()


@pytest.fixture(scope="session")
def dns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dns]:
    """Return the DNS of all scenarios on loopback; each has names of its own."""
    server = Dns(tmp_path_factory.mktemp("dns"))
    with server.child:
        until(lambda: "ready" in server.child.text, what="the DNS server")
        yield server


@pytest.fixture
def stage(dns: Dns, root: Authority, tmp_path: Path) -> Iterator[Stage]:
    """Return a maker of sinks and relays on loopback, which have shown no secret when the test ends."""
    with ExitStack() as stack:
        stage = Stage(dns, root, tmp_path, stack)
        yield stage
        assert stage.leaks() == []


@pytest.fixture(scope="session")
def base(dns: Dns, root: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return the relay with default settings, for scenarios that send no mail through it."""
    with ExitStack() as stack:
        yield Stage(dns, root, tmp_path_factory.mktemp("base"), stack).relay()


@pytest.fixture(scope="session")
def _through(dns: Dns, root: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Through]:
    with ExitStack() as stack:
        stage = Stage(dns, root, tmp_path_factory.mktemp("through"), stack)
        sink = stage.sink()
        relay = stage.relay(RELAY_DOMAINS="a.test", MAILNAME="mta.x.test", **smarthost(sink))
        yield Through(relay, sink)


@pytest.fixture
def through(_through: Through) -> Iterator[Through]:
    """Return a relay, mta.x.test, that sends all through a smarthost, and takes mail for a.test from anyone."""
    _through.sink.messages.clear()
    _through.sink.rules.clear()
    yield _through
    settled(_through.relay)
    assert _through.sink.faults == []


@pytest.fixture(scope="session")
def _internet(root: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with ExitStack() as stack:
        try:
            yield Internet(root, tmp_path_factory.mktemp("internet"), stack)
        except NoNetworkError as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")


@pytest.fixture
def internet(_internet: Internet, tmp_path: Path) -> Iterator[Internet]:
    """Return the networks; the test itself runs on the relay's host."""
    with _internet.scene(tmp_path):
        yield _internet
