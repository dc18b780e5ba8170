"""Each view of the page on realistic mail: without faults in light and dark, at a desk and on a phone, and small."""

import gzip
import re
import urllib.request

import pytest

from harness.browser import DESKTOP, PHONE, Browser, serious
from harness.history import words

#: Octets of all files as they are, and of these files and the first view as a browser loads them.
MOST_OCTETS, MOST_LOADED = 150_000, 75_000
VIEWS = {
    "overview": "/",
    "messages": "/messages",
    "waiting": f"/messages?status=waiting&domain={words.DOWN}",
    "none": "/messages?subject=nothing-of-the-kind",
    "wrong": "/messages?since=sometime",
    "order": "/orders?action=hold&status=waiting",
    "destinations": "/destinations",
    "destination": f"/destinations/{words.THROTTLING}",
    "settings": "/settings",
    "live": "/live",
    "missing": "/nowhere",
}
#: Searches whose first message is looked at.
MESSAGES = {
    "a waiting message": f"status=waiting&domain={words.DOWN}",
    "a throttled message": f"status=waiting&domain={words.THROTTLING}",
    "a held message": "status=held",
    "a failed message": "status=failed",
    "a delivered message": "status=delivered",
}


def open_view(page, url, view):
    """Open a view by its name."""
    if view in VIEWS:
        page.goto(url + VIEWS[view])
        return
    page.goto(f"{url}/messages?{MESSAGES[view]}")
    page.click("table.messages a.subject >> nth=0")
    page.wait_for_selector("#timeline")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_serious_fault_in_any_view(browser: Browser, url: str, size, dark) -> None:
    page = browser.view(size, dark=dark)
    faults = {}
    for view in (*VIEWS, *MESSAGES):
        open_view(page, url, view)
        found = serious(page)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append("the view is wider than the screen")
        if found:
            faults[view] = found
    # The answer to a path that does not exist is a 404, as it should be.
    browser.troubles[:] = [trouble for trouble in browser.troubles if "404" not in trouble]
    assert faults == {}


def fetched(url: str) -> bytes:
    """Return the octets by which a browser gets a URL."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Content-Encoding"] == "gzip", url
        return answer.read()


def test_the_first_view_and_all_files_are_small(browser: Browser, url: str) -> None:
    page = browser.view()
    paths: set[str] = set()
    for view in ("overview", "messages", "live"):
        open_view(page, url, view)
        paths |= set(re.findall(r'"(/static/[^"]+)"', page.content()))
    files = [fetched(url + path) for path in paths if not path.endswith(".svg")]
    assert len(files) >= 5
    assert sum(len(gzip.decompress(file)) for file in files) < MOST_OCTETS
    assert len(fetched(url + "/")) + sum(map(len, files)) < MOST_LOADED


def test_the_plot_has_the_traffic_of_the_last_day(browser: Browser, url: str) -> None:
    page = browser.view()
    page.goto(url)
    page.wait_for_selector("#plot canvas")
    drawn = page.evaluate(
        """() => { const c = document.querySelector('#plot canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        const seen = new Set();
        for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) seen.add(`${d[i]},${d[i+1]},${d[i+2]}`);
        return seen.size; }"""
    )
    assert drawn > 3
    page.hover("#plot .u-over")
    page.wait_for_selector("#plot .tip:visible")
    assert "accepted" in page.text_content("#plot .tip")
    assert "UTC" in page.text_content("#plot .tip")


def test_times_are_those_of_the_reader_with_utc_beside_them(browser: Browser, url: str) -> None:
    page = browser.view(zone="Asia/Tokyo")
    page.goto(url + "/messages")
    shown = page.text_content("table.messages time >> nth=0")
    machine = page.get_attribute("table.messages time >> nth=0", "datetime")
    assert f"{machine[11:16]} UTC" in shown
    hour = (int(machine[11:13]) + 9) % 24
    assert f" {hour:02}:{machine[14:16]}" in shown
