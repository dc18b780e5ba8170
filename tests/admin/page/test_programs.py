"""The paths of programs at the page's address: the API by its bearer token, and those of the metrics."""

import json

import pytest

from tests.admin.page.browser import CLIENT, MemoryBrowser, PageUnderTest
from tests.admin.page.conftest import RelayUnderTest
from tests.queue.messages import NOW

TOKEN = "the-password"  # noqa: S105
GIVEN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def page(relay: RelayUnderTest) -> PageUnderTest:
    return PageUnderTest(relay.state, NOW, TOKEN)


def order(browser: MemoryBrowser, id: str, **headers: str) -> int:
    body = json.dumps({"action": "hold", "ids": [id], "by": "alice"}).encode()
    return browser.ask("POST", "/api/v1/orders", body, Content_Type="application/json", **headers).status


def test_the_api_answers_to_the_token_by_any_name(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add()
    answer = browser.get("/api/v1/messages?status=waiting", Host="relay.internal", **GIVEN)
    assert answer.status == 200
    assert json.loads(answer.text)["messages"][0]["id"] == id


def test_an_order_by_the_api_names_the_operator_and_the_address(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add()
    assert order(browser, id, **GIVEN) == 200
    assert relay.held(id)
    assert [each.by for each in relay.orders] == [f"alice@{CLIENT}"]


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}"])
def test_without_the_token_nothing_is_told_or_changed(
    browser: MemoryBrowser, relay: RelayUnderTest, token: str
) -> None:
    id = relay.add()
    for path in ("/api/v1/messages", "/api/v1/about", "/api/v1/settings", "/api/v1/openapi.json"):
        assert browser.get(path, Authorization=token).status == 401
    assert order(browser, id, Authorization=token) in (401, 503)
    assert not relay.held(id)


def test_the_session_of_a_browser_is_not_enough_for_the_api(browser: MemoryBrowser) -> None:
    browser.log_in(TOKEN)
    assert browser.get("/api/v1/about").status == 401


def test_wrong_tokens_are_slowed_down(browser: MemoryBrowser, page: PageUnderTest) -> None:
    for _ in range(5):
        assert browser.get("/api/v1/about", Authorization="Bearer guess").status == 401
    assert browser.get("/api/v1/about", **GIVEN).status == 503
    page.clock.advance(1)
    assert browser.get("/api/v1/about", **GIVEN).status == 200


def test_without_a_password_a_strange_site_cannot_use_the_api(relay: RelayUnderTest) -> None:
    browser = MemoryBrowser(PageUnderTest(relay.state, NOW))
    id = relay.add()
    assert browser.get("/api/v1/about").status == 200
    assert browser.get("/api/v1/about", Host="evil.example").status == 401
    assert order(browser, id, Sec_Fetch_Site="cross-site") == 401
    assert order(browser, id) == 200


def test_metrics_that_are_off_are_told(browser: MemoryBrowser) -> None:
    for path in ("/metrics", "/healthz", "/readyz"):
        answer = browser.get(path)
        assert answer.status == 404
        assert "METRICS_LISTEN" in answer.text
