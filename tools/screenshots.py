"""Make the pictures of the page in docs/screenshots, on three days of made-up mail: `make screenshots`.

Usage: python -m tools.screenshots [--to DIRECTORY] [--only VIEW ...]

Each view is taken in light and dark, at the width of a desktop and of a phone. The Makefile starts this in a network of
its own, in which the addresses of the pictures are those of the loopback interface, and with an empty /var/spool. The
relay's clock is set, so that the pictures show the same days each time.
"""

import argparse
import base64
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.browser import DESKTOP, PHONE, Browser, lacks
from harness.daemon import ROOT
from harness.history import words
from harness.shifted_clock import WallClock
from harness.showcase import Showcase

#: The present of the pictures: a Wednesday afternoon.
NOW = datetime(2026, 12, 2, 14, 20, 30, tzinfo=UTC).timestamp()
URL = "http://127.0.0.1:8025"
_QUALITY = 42
# A view that is longer than this many screens is cut.
_MOST_SCREENS = 1.35


def _first_of(page: Any, query: str) -> str:
    """Return the URL of the first message that a search finds."""
    page.goto(f"{URL}/messages?{query}")
    return f"{URL}{page.locator('table.messages a.subject').first.get_attribute('href')}"


#: Each view by name: how its URL is found.
VIEWS: dict[str, Callable[[Any], str]] = {
    "overview": lambda _: f"{URL}/",
    "messages": lambda _: f"{URL}/messages?status=waiting&status=held",
    "search": lambda _: f"{URL}/messages?word=postfach.example&status=failed",
    "message": lambda page: _first_of(page, f"domain={words.DOWN}&status=waiting&until=1h"),
    "order": lambda _: f"{URL}/orders?action=release&status=held",
    "destinations": lambda _: f"{URL}/destinations",
    "settings": lambda _: f"{URL}/settings",
    "live": lambda _: f"{URL}/live",
}


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--only", nargs="*", choices=VIEWS, default=list(VIEWS))
    options = parser.parse_args()
    if reason := lacks():
        raise SystemExit(reason)
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, _relay(Path(home)), Browser() as browser:
        page = browser.view()
        page.goto(f"{URL}/destinations")
        page.wait_for_selector("#live-table .badge.failed")
        page.close()
        for dark in (False, True):
            for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
                page = browser.view(size, dark=dark, zone="Europe/Berlin")
                for view in options.only:
                    file = options.to / f"{view}-{name}-{'dark' if dark else 'light'}.webp"
                    file.write_bytes(_picture(page, VIEWS[view](page), size))
                    print(f"{file.stat().st_size:8,}  {file.name}")  # noqa: T201
        if browser.troubles:
            raise SystemExit("\n".join(sorted(set(browser.troubles))))


@contextmanager
def _relay(home: Path) -> Iterator[Showcase]:
    clock = WallClock(home / "ahead")
    clock.ahead = NOW - time.time()
    settings = {
        **clock.settings(str(ROOT)),
        "ADMIN_LISTEN": URL.rpartition("/")[2],
        "PORT": "2525",
        "QUEUE_DIR": "/var/spool/smtprelay",
        "MAIL_DIR": "/var/mail",
        "ALLOWED_SENDERS": f"*@{words.HOME}",
    }
    with Showcase(home, NOW, network="198.51.100.", out_port=25, from_clients=True, settings=settings) as showcase:
        # The relay finds out by itself that a destination is down.
        showcase.relay.tool("queue", "retry", "--domain", words.DOWN, "--yes")
        showcase.send(10)
        showcase.begin_traffic(1.5)
        yield showcase


def _picture(page: Any, url: str, size: tuple[int, int]) -> bytes:
    """Return a view as WebP, as high as its content up to a bound."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(url)
    page.wait_for_load_state()
    if url.endswith("/live"):
        page.wait_for_selector("#feed li:nth-child(16)")
    high = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size[0], "height": min(max(high, size[1]), int(size[1] * _MOST_SCREENS))})
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    session = page.context.new_cdp_session(page)
    taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": _QUALITY})
    session.detach()
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    main()
