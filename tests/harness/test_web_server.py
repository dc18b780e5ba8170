"""The web server of tests: any certificate, any answer, and none."""

import ssl
import urllib.error
import urllib.request

import pytest

from harness.certificates import authority
from harness.policy_host import POLICY_PATH, policy
from harness.waiting import until
from harness.web_server import WebAnswer, WebServer

ROOT = authority()


@pytest.fixture
def web(tmp_path):
    tls = tuple(map(str, ROOT.leaf(["localhost"]).write(tmp_path)))
    with WebServer(tls, "127.0.0.1", policy("testing", ["*.mx.test"], 600), port=0) as server:
        yield server


def fetch(web, timeout=30):
    context = ssl.create_default_context(cadata=ROOT.certificate_pem.decode())
    with urllib.request.urlopen(f"https://localhost:{web.port}{POLICY_PATH}", context=context, timeout=timeout) as got:
        return got.headers["Content-Type"], got.read()


def test_a_policy_is_served_and_the_request_recorded(web):
    text = b"version: STSv1\r\nmode: testing\r\nmx: *.mx.test\r\nmax_age: 600\r\n"
    assert fetch(web) == ("text/plain", text)
    (request,) = web.requests
    assert (request.method, request.path, web.server_names) == ("GET", POLICY_PATH, ["localhost"])


def test_another_answer_and_an_expired_certificate_count_from_then_on(web, tmp_path):
    web.answer = WebAnswer(404, b"nothing here")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(web)
    web.use(tuple(map(str, ROOT.leaf(["localhost"], expired=True).write(tmp_path, "expired"))))
    with pytest.raises(urllib.error.URLError, match="expired"):
        fetch(web)
    until(lambda: web.broken_handshakes == 1, what="the handshake that the client broke off")


def test_the_next_answers_are_given_once_each(web):
    web.answers = [WebAnswer(503), WebAnswer(200, b"another")]
    with pytest.raises(urllib.error.HTTPError, match="503"):
        fetch(web)
    assert fetch(web)[1] == b"another"
    assert fetch(web)[1] == web.answer.body


def test_a_silent_server_takes_the_connection_and_says_nothing(web):
    web.silent = True
    with pytest.raises(OSError, match="timed out"):
        fetch(web, timeout=0.2)
    until(lambda: web.connections == 1, what="the connection")
    assert web.requests == []
