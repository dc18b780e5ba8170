"""The browser finds the faults of a page. Otherwise a test that finds no fault would say nothing."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from harness.browser import Browser, serious
from harness.waiting import until

_PAGE = """<!doctype html><html lang="en"><title>A page</title><main><h1>Mail</h1>
<p id="said">nothing</p><label>Find <input name="find"></label></main>
<script src="live.js"></script></html>"""
_UNREADABLE = '<!doctype html><html><body><input><p style="color:#aaa;background:#bbb">hardly seen</p></body></html>'


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        files = {
            "/": ("text/html", _PAGE),
            "/live.js": ("text/javascript", "document.getElementById('said').textContent = 'live'"),
            "/favicon.ico": ("image/x-icon", " "),
            "/inline": ("text/html", _PAGE + "<script>document.title = 'forbidden'</script>"),
            "/wrong": ("text/html", _PAGE + "<script src='missing.js'></script>"),
            "/foreign": ("text/html", _PAGE + "<img src='http://198.51.100.1/pixel.png'>"),
            "/unreadable": ("text/html", _UNREADABLE),
        }
        kind, text = files.get(self.path, ("text/html", ""))
        self.send_response(200 if text else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", "default-src 'self'; style-src 'unsafe-inline'; img-src *")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *words: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_good_page_is_live_and_without_trouble(browser: Browser, site: str) -> None:
    page = browser.view()
    page.goto(site)
    assert page.text_content("#said") == "live"
    assert browser.troubles == []


def test_without_script_a_page_stays_as_it_came(browser: Browser, site: str) -> None:
    page = browser.view(script=False)
    page.goto(site)
    assert page.text_content("#said") == "nothing"


@pytest.mark.parametrize(
    ("path", "trouble"),
    [("/inline", "Content Security Policy"), ("/wrong", "404"), ("/foreign", "request to another host")],
)
def test_trouble_is_collected(browser: Browser, site: str, path: str, trouble: str) -> None:
    page = browser.view()
    page.goto(site + path, wait_until="commit")
    page.wait_for_selector("#said")
    # Each question to the page also takes in the browser's news.
    until(lambda: page.title() and any(trouble in seen for seen in browser.troubles), what=trouble)
    browser.troubles.clear()
    assert page.title() == "A page"


def test_axe_finds_serious_faults(browser: Browser, site: str) -> None:
    page = browser.view()
    page.goto(site)
    assert serious(page) == []
    page.goto(site + "/unreadable")
    found = "\n".join(serious(page))
    assert {"color-contrast", "html-has-lang", "label"} <= {line.split(":")[0] for line in found.splitlines()}
