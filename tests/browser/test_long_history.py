"""The page of a relay with a million messages of history (fewer in a short run). `bench.page_bench` measures it."""

import time
from pathlib import Path

from harness.browser import Browser
from harness.daemon import Daemon
from harness.history.million import fill
from harness.processes import free_port
from harness.waiting import until
from tests.length import choose

MESSAGES = choose(30_000, 1_000_000)


def test_views_searches_and_counts_of_a_long_history(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    relay = Daemon(tmp_path, ADMIN_LISTEN=f"127.0.0.1:{port}", HISTORY_DAYS="30")
    fill(relay.queue_dir, MESSAGES, 7, time.time())
    with relay:
        page = browser.view()
        page.goto(f"http://127.0.0.1:{port}/")
        assert page.locator("#failures .reasons li").count() > 0
        page.click("#nav-messages")
        assert page.locator("table.messages tbody tr").count() == 50
        until(lambda: f"of {MESSAGES:,}" in page.text_content("#count"), what="the number of all messages")
        for _ in range(3):
            page.click("#older")
        page.goto(f"http://127.0.0.1:{port}/messages?to=user7@dest999.test")
        assert page.locator("#results .empty").count() == 1
        page.goto(f"http://127.0.0.1:{port}/messages?word=20261129.4711%40client")
        page.click("table.messages a.subject")
        assert "Your invoice number 4711 of this month" in page.text_content("#subject")
