"""One Chromium and one relay with some days of mail for the tests of a module; each view has cookies of its own."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.browser import Browser, lacks
from harness.processes import free_port
from harness.showcase import Showcase
from tests.length import choose


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that starts the real daemon."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.endtoend)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return a running Chromium. Its start takes two seconds."""
    reason = lacks("axe_playwright_python")
    if reason:
        pytest.skip(reason)
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Return a Chromium that has seen no trouble yet, and has seen none at the end of the test."""
    chromium.troubles.clear()
    yield chromium
    assert chromium.troubles == []


@pytest.fixture(scope="module")
def showcase(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Showcase]:
    """Return a relay with a page and with days of mail: a destination is down, one limits its rate, a batch is held."""
    port = free_port()
    home = tmp_path_factory.mktemp("showcase")
    settings = {"ADMIN_LISTEN": f"127.0.0.1:{port}"}
    with Showcase(home, time.time(), messages=choose(2000, 20_000), settings=settings) as running:
        running.send(30)
        yield running


@pytest.fixture
def url(showcase: Showcase) -> str:
    """Return the URL of its page."""
    return f"http://{showcase.relay.environment['ADMIN_LISTEN']}"
