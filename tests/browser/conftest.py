"""One Chromium for the tests of a module; each view has cookies of its own."""

from collections.abc import Iterator

import pytest

from harness.browser import Browser, lacks


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return a running Chromium. Its start takes two seconds."""
    reason = lacks("axe_playwright_python")
    if reason:
        pytest.skip(reason)
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """Return a Chromium that has seen no trouble yet."""
    chromium.troubles.clear()
    return chromium
