"""The page with a password: the login, and the answers to strangers."""

import pytest

from mta.admin.page.reading import ALIVE_SECONDS
from tests.admin.page.browser import MemoryBrowser, PageUnderTest
from tests.admin.page.conftest import RelayUnderTest
from tests.queue.messages import NOW

PASSWORD = "the-password"  # noqa: S105


@pytest.fixture
def page(relay: RelayUnderTest) -> PageUnderTest:
    return PageUnderTest(relay.state, NOW, PASSWORD)


@pytest.mark.parametrize("path", ["/", "/messages", "/messages/1", "/live/events", "/settings", "/destinations"])
def test_a_stranger_sees_the_login_only(browser: MemoryBrowser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status == 303
    assert answer.location.startswith("/login")
    assert not answer.text


def test_a_script_without_a_session_is_refused(browser: MemoryBrowser) -> None:
    answer = browser.get("/", HX_Request="true")
    assert answer.status == 403


def test_the_password_opens_the_page_that_was_asked_for(browser: MemoryBrowser) -> None:
    location = browser.get("/messages?domain=a.test&status=held").location
    form = browser.get(location)
    assert "/messages?domain=a.test&amp;status=held" in form.text
    answer = browser.log_in(PASSWORD, "/messages?domain=a.test&status=held")
    assert (answer.status, answer.location) == (303, "/messages?domain=a.test&status=held")
    assert browser.get("/").status == 200


@pytest.mark.parametrize(
    "following", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/\r\nX: 1"]
)
def test_a_login_leads_to_no_other_site(browser: MemoryBrowser, following: str) -> None:
    assert browser.log_in(PASSWORD, following).location == "/"


def test_a_wrong_password_is_told_and_slowed_down(browser: MemoryBrowser, page: PageUnderTest) -> None:
    for _ in range(5):
        answer = browser.log_in("guess")
        assert answer.status == 403
        assert "This is not the password." in answer.text
    answer = browser.log_in(PASSWORD)
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert "Too many wrong passwords: try again in 1 s." in answer.text
    page.clock.advance(1)
    assert browser.log_in(PASSWORD).status == 303


def test_the_login_gives_one_cookie(browser: MemoryBrowser) -> None:
    assert browser.get("/login").headers["set-cookie"].count("smtprelay-8025=") == 1


def test_a_login_needs_the_token_of_its_form(browser: MemoryBrowser) -> None:
    browser.get("/login")
    answer = browser.post("/login", token="", password=PASSWORD)  # noqa: S106
    assert answer.status == 403
    assert browser.get("/").status == 303


def test_signing_out_ends_the_session(browser: MemoryBrowser) -> None:
    browser.log_in(PASSWORD)
    token = browser.get("/").token
    assert browser.post("/logout", token="wrong").status == 403  # noqa: S106
    cookies = dict(browser.cookies)
    assert browser.post("/logout", token=token).location == "/login"
    browser.cookies = cookies
    assert browser.get("/").status == 303


def test_live_events_end_with_the_session(browser: MemoryBrowser, page: PageUnderTest) -> None:
    browser.log_in(PASSWORD)
    stream = browser.open("GET", "/live/events")
    page.clock.advance(ALIVE_SECONDS)
    assert not stream.disconnecting
    browser.post("/logout", token=browser.get("/").token)
    page.clock.advance(ALIVE_SECONDS)
    assert stream.disconnecting


def test_an_order_without_a_session_is_refused(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add()
    browser.log_in(PASSWORD)
    review = browser.get(f"/messages/{id}/order?action=hold")
    browser.cookies.clear()
    assert browser.post("/orders", token=review.token, plan=review.plan).status == 403
    assert not relay.held(id)


def test_a_login_begins_with_a_new_id(browser: MemoryBrowser) -> None:
    browser.get("/login")
    before = dict(browser.cookies)
    browser.log_in(PASSWORD)
    assert browser.cookies.keys() == before.keys()
    assert browser.cookies != before
