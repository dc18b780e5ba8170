"""Attacks on the page: words of strangers, forms of other sites, names of other hosts, guessed passwords."""

import http.client
import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.browser import Browser
from harness.daemon import Daemon
from harness.dns_process import Dns
from harness.processes import free_port
from harness.showcase import Showcase
from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import until

PASSWORD = "correct-horse-battery"
SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
HOSTILE = (
    f'From: "{SCRIPT.replace(chr(34), "")}" <a@sender.test>\r\nTo: b@example.test\r\nSubject: {SCRIPT}\r\n'
    f"Message-ID: <1'\"><script>alert(1)</script>@sender.test>\r\nX-Header: {SCRIPT}\r\n\r\nHello\r\n"
).encode()


def owned(page) -> bool:
    """Whether words of a stranger have become a part of the page."""
    return page.title() == "owned" or page.locator("body script, body img[src=x]").count() > 0


@contextmanager
def other_site(text: str) -> Iterator[str]:
    """Run a web site of a stranger with one page, and yield its URL."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words: object) -> None:
            """Stay silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def asked(url: str, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
    """Send a request with these headers and return the answer."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_the_words_of_strangers_stay_words(browser: Browser, tmp_path) -> None:
    dns, port = Dns(tmp_path), free_port()
    refusal = Rule("RCPT", f"451 4.3.0 {SCRIPT}")
    with dns.child, Sink([refusal]) as sink:
        until(lambda: "ready" in dns.child.text, what="the DNS server")
        dns.mail_host("example.test")
        settings = {"DNS_SERVERS": dns.setting, "PRIVATE_DESTINATIONS": "allow", "SMTPPORTOUT": str(sink.port)}
        with Daemon(tmp_path / "relay", ADMIN_LISTEN=f"127.0.0.1:{port}", **settings) as relay:
            url = f"http://127.0.0.1:{port}"
            page = browser.view()
            page.goto(url + "/live")
            until(lambda: "Following" in page.text_content("#live-state"), what="the stream")
            relay.submit(HOSTILE, "b@example.test", sender='"<script>alert(1)</script>"@sender.test')
            relay.wait_for_events("deferred")
            page.wait_for_selector("#feed li:nth-child(2)")
            assert SCRIPT in page.text_content("#feed")
            assert not owned(page)
            page.goto(url)
            page.wait_for_selector("#waiting table")
            assert SCRIPT in page.text_content("main")
            assert not owned(page)
            page.goto(url + "/messages?subject=" + urllib.parse.quote("*" + SCRIPT[:20] + "*"))
            assert page.locator("table.messages tbody tr").count() == 1
            assert not owned(page)
            page.click("table.messages a.subject")
            assert page.text_content("#subject").strip() == SCRIPT
            assert not owned(page)
            page.click("#header summary")
            page.wait_for_selector("#source")
            assert "X-Header: <script>" in page.text_content("#source")
            assert not owned(page)
            page.goto(url + "/destinations/" + urllib.parse.quote(SCRIPT))
            assert not owned(page)
            # The answer to a domain that cannot be one is a 404.
            browser.troubles[:] = [trouble for trouble in browser.troubles if "404" not in trouble]


def test_a_form_of_another_site_changes_nothing(browser: Browser, url: str, showcase: Showcase) -> None:
    page = browser.view()
    page.goto(url + "/orders?action=remove&status=held")
    plan = page.input_value("#confirm [name=plan]")
    token = page.input_value("#confirm [name=token]")
    # Even one that knows the token, which another site cannot read.
    form = f"""<form method=post action="{url}/orders">
    <input name=plan value="{plan}"><input name=token value="{token}"></form>
    <script>document.forms[0].submit()</script>"""
    with other_site(form) as foreign:
        stranger = page.context.new_page()
        stranger.goto(foreign)
        stranger.wait_for_url(url + "/orders")
        assert "Another site sent this form" in stranger.text_content("main")
    assert showcase.relay.events("amended") == []
    browser.troubles.clear()


@pytest.mark.parametrize("token", ["", "x" * 43])
def test_a_form_without_the_token_of_its_browser_is_refused(url: str, showcase: Showcase, token) -> None:
    body = urllib.parse.urlencode({"plan": "x", "token": token})
    answer = asked(url, "POST", "/orders", body, Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 403
    assert showcase.relay.events("amended") == []


def test_another_site_cannot_show_the_page_in_a_frame(browser: Browser, url: str) -> None:
    with other_site(f'<title>frame</title><iframe src="{url}/"></iframe>') as foreign:
        page = browser.view()
        page.goto(foreign)
        until(
            lambda: page.title() and any("frame" in trouble.lower() for trouble in browser.troubles), what="a refusal"
        )
        browser.troubles.clear()


@pytest.mark.parametrize("host", ["evil.test", "evil.test:80", "127.0.0.1.evil.test", "192.0.2.1", ""])
def test_a_forged_host_is_refused(url: str, host) -> None:
    for path in ("/", "/messages", "/login", "/api/v1/about"):
        assert asked(url, "GET", path, Host=host).status in (400, 401, 403, 421), path


def test_only_post_changes_anything(url: str) -> None:
    for path in ("/logout", "/orders?plan=x&token=x"):
        assert asked(url, "GET", path).status in (400, 404, 405, 409), path
    for method in ("PUT", "DELETE", "PATCH"):
        assert asked(url, method, "/orders").status in (404, 405, 501), method


def test_the_policy_permits_no_script_of_a_text(url: str) -> None:
    for path in ("/", "/messages", "/nowhere"):
        policy = asked(url, "GET", path).getheader("Content-Security-Policy")
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy


@pytest.fixture
def locked(tmp_path) -> Iterator[str]:
    """Return the URL of a page with a password."""
    port = free_port()
    with Daemon(tmp_path / "relay", ADMIN_LISTEN=f"127.0.0.1:{port}", ADMIN_PASSWORD=PASSWORD):
        yield f"http://127.0.0.1:{port}"


def test_a_wrong_password_opens_nothing_and_many_of_them_wait(browser: Browser, locked: str) -> None:
    page = browser.view()
    page.goto(locked + "/messages?status=held")
    assert "/login" in page.url

    def guess(password: str) -> int:
        """Send a password and return the status of the answer."""
        page.fill("#password", password)
        with page.expect_response(lambda response: response.request.method == "POST") as answer:
            page.click("#login")
        page.wait_for_selector("#problem")
        return answer.value.status

    assert [guess(f"guess {number}") for number in range(4)] == [403] * 4
    # The wait grows from a second to half a minute, so that it is seen at some guess on any machine.
    until(lambda: guess("another guess") == 429, what="a wait")
    assert "too many wrong passwords" in page.text_content("#problem").lower()

    # Then even the right one waits, and leads to the view that was asked for.
    def signed_in() -> bool:
        if page.locator("#password").count():
            page.fill("#password", PASSWORD)
            page.click("#login")
        return page.locator("#results").count() == 1

    until(signed_in, what="the end of the wait")
    assert page.url == locked + "/messages?status=held"
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    page.click("#logout")
    page.wait_for_selector("#password")
    page.goto(locked)
    assert "/login" in page.url
    browser.troubles.clear()


def test_without_the_password_nothing_is_told(locked: str) -> None:
    for path in ("/", "/messages", "/destinations", "/settings", "/live", "/live/events", "/messages/count"):
        assert asked(locked, "GET", path).status in (302, 303, 401, 403), path
    for path in ("/api/v1/about", "/api/v1/messages"):
        assert asked(locked, "GET", path).status in (401, 403), path
        assert asked(locked, "GET", path, Authorization="Bearer wrong").status in (401, 403), path
    assert asked(locked, "GET", "/api/v1/about", Authorization=f"Bearer {PASSWORD}").status == 200
