"""The page at ADMIN_LISTEN of a running relay: over HTTP and HTTPS, with its password, and an order that is logged."""

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from harness.certificates import authority
from harness.processes import free_port
from harness.sink_rules import Rule
from harness.waiting import PATIENCE, until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO

PASSWORD = "the-page-password"  # noqa: S105
ROOT = authority()
_TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')
_PLAN = re.compile(r'name="plan" value="([^"]+)"')


class Browser:
    """A browser over real connections that keeps its cookie and follows no redirect."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, host: str = "localhost") -> None:
        self.port = port
        self.context = context
        self.host = host
        self.cookie = ""

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str, Mapping[str, str]]:
        connection: http.client.HTTPConnection
        if self.context is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        else:
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=PATIENCE, context=self.context)
        fields = {"Host": f"{self.host}:{self.port}", "Cookie": self.cookie, **headers}
        if body:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body or None, fields)
        answer = connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            self.cookie = cookie.partition(";")[0]
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers

    def get(self, path: str, **headers: str) -> str:
        status, text, _ = self.ask("GET", path, **headers)
        assert status == 200, (status, text)
        return text

    def post(self, path: str, **form: str) -> tuple[int, Mapping[str, str]]:
        status, _, headers = self.ask("POST", path, urlencode(form))
        return status, headers

    def log_in(self, password: str = PASSWORD) -> int:
        return self.post("/login", token=found(_TOKEN, self.get("/login")), password=password)[0]


def found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    assert match is not None, text
    return match[1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_message_that_waits_is_found_explained_and_tried_again(world: Any, workers: str) -> None:
    port = free_port()
    sink = world.sink(Rule("RCPT", "450 4.2.1 greylisted, come back later", times=1))
    relay = world.relay(sink, ADMIN_LISTEN=f"127.0.0.1:{port}", RETRY_SCHEDULE="F,2h,1h", WORKERS=workers)
    relay.submit(mail("waits-for-the-page"), TO)
    until(lambda: relay.events("deferred"), what="the deferral")
    browser = Browser(port)
    assert "1" in found(re.compile(r'id="figure-waiting">([^<]+)'), browser.get("/"))
    id = relay.events("deferred")[0]["id"]
    assert id in browser.get("/messages?status=waiting")
    page = browser.get(f"/messages/{id}")
    assert "greylisted, come back later" in page
    review = browser.get(f"/messages/{id}/order?action=retry")
    status, headers = browser.post("/orders", token=found(_TOKEN, review), plan=found(_PLAN, review))
    assert (status, headers["Location"]) == (303, f"/messages/{id}")
    until(lambda: relay.events("delivered"), what="the delivery")
    (amended,) = relay.events("amended")
    assert amended["by"] == "page:127.0.0.1"
    assert amended["change"] == "retry"
    assert "Delivered" in browser.get(f"/messages/{id}")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_events_are_live(world: Any, workers: str) -> None:
    port = free_port()
    relay = world.relay(world.sink(), ADMIN_LISTEN=f"127.0.0.1:{port}", WORKERS=workers)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stream:
        stream.sendall(b"GET /live/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        seen = b""
        while b"retry: 3000" not in seen:
            seen += stream.recv(65536)
        relay.submit(mail("live"), TO)
        while b'"name": "delivered"' not in seen:
            more = stream.recv(65536)
            assert more, seen
            seen += more


def test_a_relay_stops_although_a_browser_follows_its_events(world: Any) -> None:
    port = free_port()
    relay = world.relay(world.sink(), ADMIN_LISTEN=f"127.0.0.1:{port}")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stream:
        stream.sendall(b"GET /live/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(10)
        relay.stop()


def test_a_relay_may_stop_before_its_page_is_loaded(world: Any) -> None:
    relay = world.relay(world.sink(), ADMIN_LISTEN=f"127.0.0.1:{free_port()}")
    assert relay.stop() == 0
    assert not relay.events("fault")


def test_https_with_a_password(world: Any, tmp_path: Path) -> None:
    port = free_port()
    leaf = ROOT.leaf(["localhost", "page.example.test"])
    certificate, key = leaf.write(tmp_path)
    relay = world.relay(
        world.sink(),
        ADMIN_LISTEN=f"127.0.0.1:{port}",
        ADMIN_PASSWORD=PASSWORD,
        ADMIN_CERTIFICATE_PATH=str(certificate),
        ADMIN_KEY_PATH=str(key),
        METRICS_LISTEN=f"127.0.0.1:{free_port()}",
    )
    browser = Browser(port, ssl.create_default_context(cafile=str(ROOT.write(tmp_path))))
    assert browser.ask("GET", "/")[0] == 303
    assert browser.log_in("wrong") == 403
    assert browser.log_in() == 303
    assert browser.cookie.startswith("__Host-smtprelay-")
    assert "All is well" in browser.get("/")
    assert browser.ask("GET", "/", Host="evil.example")[0] == 421
    assert browser.ask("GET", "/", Host="page.example.test")[0] == 200
    assert browser.ask("GET", "/metrics")[0] == 401
    assert "smtprelay_build_info" in browser.get("/metrics", Authorization=f"Bearer {PASSWORD}")
    assert browser.ask("GET", "/healthz", Host="10.0.0.1")[:2] == (200, "ok\n")
    assert ("127.0.0.1", port) in {(each["address"], each["port"]) for each in relay.events("listening")}


def test_a_port_that_is_taken_ends_the_start_with_the_setting_to_change(world: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        setting = f"127.0.0.1:{taken.getsockname()[1]}"
        relay = world.stopped_relay(world.sink(), ADMIN_LISTEN=setting)
        assert "choose another ADMIN_LISTEN" in relay.start_and_fail(1)


def test_a_certificate_that_cannot_be_used_ends_the_start(world: Any, tmp_path: Path) -> None:
    certificate, key = ROOT.leaf(["localhost"]).write(tmp_path)
    certificate.write_text("no certificate")
    settings = {"ADMIN_CERTIFICATE_PATH": str(certificate), "ADMIN_KEY_PATH": str(key)}
    relay = world.stopped_relay(world.sink(), ADMIN_LISTEN=f"127.0.0.1:{free_port()}", **settings)
    assert "ADMIN_CERTIFICATE_PATH=" in relay.start_and_fail(78)


@pytest.mark.parametrize("listen", [":8025", "0.0.0.0:8025"])
def test_a_page_for_other_hosts_without_a_password_ends_the_start(world: Any, listen: str) -> None:
    relay = world.stopped_relay(world.sink(), ADMIN_LISTEN=listen)
    assert "ADMIN_PASSWORD is not set" in relay.start_and_fail(78)
