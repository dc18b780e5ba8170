"""Measure the operator's page of a relay with a long history.

Usage: python -m bench.page_bench [--directory DIR] [--messages N] [--days N]

Prints the time of each view in Chromium, from the click to the first paint, and of the answer alone. The first view is
measured when its figures are as old as the relay keeps them, so that it is made anew each time.
"""

import argparse
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from harness.browser import Browser, lacks
from harness.daemon import Daemon
from harness.history.million import fill
from harness.processes import free_port

VIEWS = {
    "first view": "/",
    "messages": "/messages",
    "a search": "/messages?to=*@dest7.test&status=delivered&since=1h",
    "a search without a match": "/messages?to=user7@dest999.test",
    "destinations": "/destinations",
}
_TIMES = 7
# Seconds for which the relay shows the figures of the first view again.
_FRESH = 2.1
_PAINTED = """() => new Promise(done => requestAnimationFrame(() => setTimeout(() => {
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    done(paint ? paint.startTime : performance.now()); })))"""


def answered(url: str) -> float:
    """Return the seconds of an answer."""
    started = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        answer.read()
    return time.perf_counter() - started


def painted(page: Any, url: str) -> float:
    """Return the seconds until a view is painted in a browser."""
    page.goto(url)
    return float(page.evaluate(_PAINTED)) / 1000


def main() -> None:
    """Fill a queue, start a relay on it, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=7.0)
    options = parser.parse_args()
    if reason := lacks():
        raise SystemExit(reason)
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="smtprelay-page-") as folder, Browser() as browser:
        relay = Daemon(Path(folder), ADMIN_LISTEN=url.rpartition("/")[2], HISTORY_DAYS="30")
        fill(relay.queue_dir, options.messages, options.days, time.time())
        with relay:
            print(f"{answered(url) * 1000:8.0f} ms  the first answer after the start")
            page = browser.view()
            for name, path in VIEWS.items():
                answers, paints = [], []
                for _ in range(_TIMES):
                    time.sleep(_FRESH)
                    answers.append(answered(url + path))
                    time.sleep(_FRESH)
                    paints.append(painted(page, url + path))
                print(f"{median(answers) * 1000:8.0f} ms  answer, {median(paints) * 1000:6.0f} ms  painted: {name}")


if __name__ == "__main__":
    main()
