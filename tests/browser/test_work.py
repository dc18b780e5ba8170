"""An operator's work on the page: search, orders, live events, by keyboard, without script, while the relay stops."""

import re

import pytest

from harness.browser import Browser
from harness.history import words
from harness.history.days import HELD
from harness.showcase import Showcase
from harness.waiting import until


def count(showcase: Showcase, *conditions: str) -> int:
    """Return how many messages the command finds."""
    done = showcase.relay.tool("queue", "find", "--count", *conditions)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def first_number(text: str) -> int:
    """Return the first number in a text."""
    found = re.search(r"\d[\d,]*", text)
    assert found, text
    return int(found[0].replace(",", ""))


def test_a_search_follows_the_words_and_has_a_url_that_can_be_shared(browser: Browser, url: str) -> None:
    page = browser.view()
    page.goto(url)
    page.fill("#find", words.DOWN)
    page.press("#find", "Enter")
    page.wait_for_url("**/messages?*")
    found = page.locator("table.messages td.route").all_text_contents()
    assert found
    assert all(words.DOWN in text or " more" in text for text in found)
    page.check("#status-waiting")
    page.wait_for_url("**status=waiting**")
    until(lambda: page.locator(".badge.delivered").count() == 0, what="waiting messages only")
    shared = browser.view()
    shared.goto(page.url)
    assert shared.locator("table.messages tr").count() == page.locator("table.messages tr").count()
    assert shared.is_checked("#status-waiting")
    page.fill("#search-word", "no-such-address")
    page.wait_for_selector("#results .empty")


def test_a_wrong_condition_is_named(browser: Browser, url: str) -> None:
    page = browser.view()
    page.goto(url + "/messages?since=sometime")
    assert "sometime" in page.text_content("#problem")


def test_the_list_goes_on_to_older_messages_and_counts_all(browser: Browser, url: str) -> None:
    page = browser.view()
    page.goto(url + "/messages")
    until(lambda: re.search(r"of [\d,]+", page.text_content("#count")), what="the count of all")
    newest = page.get_attribute("table.messages a.subject >> nth=0", "href")
    page.click("#older")
    page.wait_for_selector("#newest")
    assert page.get_attribute("table.messages a.subject >> nth=0", "href") != newest
    page.click("#newest")
    until(lambda: page.get_attribute("table.messages a.subject >> nth=0", "href") == newest, what="the first part")


def test_one_message_tells_its_failure_and_takes_an_order(browser: Browser, url: str, showcase: Showcase) -> None:
    page = browser.view()
    page.goto(f"{url}/messages?status=waiting&domain={words.DOWN}")
    page.click("table.messages a.subject >> nth=-1")
    page.wait_for_selector("#timeline")
    text = page.text_content("#message")
    assert "connection refused" in text
    assert "The host is up, but no server listens on this port" in text
    id = page.url.rpartition("/")[2]
    page.click("#order-hold")
    page.click("#confirm-yes")
    assert "held" in page.text_content("#note").lower()
    assert count(showcase, "--status", "held", "--id", id) == 1
    page.click("#order-release")
    page.click("#confirm-no")
    assert count(showcase, "--status", "held", "--id", id) == 1
    page.click("#order-release")
    page.click("#confirm-yes")
    page.wait_for_selector("#note")
    assert count(showcase, "--status", "held", "--id", id) == 0


def test_the_header_of_a_waiting_message_is_shown(browser: Browser, url: str) -> None:
    page = browser.view()
    page.goto(url + "/messages?status=held")
    page.click("table.messages a.subject >> nth=0")
    page.click("#header summary")
    page.wait_for_selector("#source")
    assert "Subject: " in page.text_content("#source")


def test_a_bulk_order_asks_with_the_count_and_does_that(browser: Browser, url: str, showcase: Showcase) -> None:
    page = browser.view()
    held = count(showcase, "--status", "held")
    page.goto(url + "/messages?status=held")
    page.select_option("#bulk-action", "release")
    page.click("#bulk-go")
    assert first_number(page.text_content("#question")) == held >= HELD
    assert page.locator("table.messages tbody tr").count() == 10
    page.click("#confirm-yes")
    assert first_number(page.text_content("#note")) == held
    until(lambda: count(showcase, "--status", "held") == 0, what="the released batch")
    orders = [event for event in showcase.relay.events("amended") if event["change"] == "release"]
    assert len(",".join(event["ids"] for event in orders).split(",")) >= held
    assert orders[-1]["by"] == "page:127.0.0.1"


def test_an_order_that_was_given_is_not_given_again(browser: Browser, url: str, showcase: Showcase) -> None:
    page = browser.view()
    page.goto(f"{url}/orders?action=retry&status=waiting&domain={words.DOWN}")
    page.evaluate("document.querySelector('#confirm').target = '_blank'")
    with page.context.expect_page() as opened:
        page.click("#confirm-yes")
    opened.value.wait_for_selector("#note")
    before = len(showcase.relay.events("amended"))
    page.evaluate("document.querySelector('#confirm').target = ''")
    page.click("#confirm-yes")
    page.wait_for_load_state()
    assert "given already" in page.text_content("main")
    assert len(showcase.relay.events("amended")) == before
    browser.troubles[:] = [trouble for trouble in browser.troubles if "409" not in trouble]


def test_live_events_appear_as_they_happen(browser: Browser, url: str, showcase: Showcase) -> None:
    page = browser.view()
    page.goto(url + "/live")
    until(lambda: "Following" in page.text_content("#live-state"), what="the stream")
    showcase.send(3)
    page.wait_for_selector("#feed li:nth-child(6)")
    text = page.text_content("#feed")
    assert "accepted" in text
    page.click("#live-pause")
    shown = page.locator("#feed li").count()
    showcase.send(3)
    page.click("#live-pause")
    until(lambda: page.locator("#feed li").count() > shown, what="the events of the pause")
    page.click("#feed a >> nth=0")
    page.wait_for_selector("#timeline")


def test_everything_works_without_script(browser: Browser, url: str, showcase: Showcase) -> None:
    page = browser.view(script=False)
    page.goto(url)
    assert page.locator("#plot svg path.accepted").count() == 2
    page.fill("#find", words.THROTTLING)
    page.press("#find", "Enter")
    page.check("#status-waiting")
    page.click("#search-go")
    assert "status=waiting" in page.url
    page.click("table.messages a.subject >> nth=0")
    page.click("#header summary")
    page.click("#header-text a")
    assert "Message-ID: " in page.text_content("#source")
    page.go_back()
    page.click("#order-hold")
    page.click("#confirm-yes")
    assert page.locator("#note").count() == 1
    assert page.locator("#order-release").count() == 1
    page.goto(url + "/live")
    assert page.locator("table.messages tbody tr").count() == 30
    page.goto(url + "/destinations")
    assert words.DOWN in page.text_content("main")


def focused(page) -> str:
    """Return the id or the text of the element that has the focus, and whether its focus can be seen."""
    return page.evaluate(
        """() => { const e = document.activeElement, s = getComputedStyle(e);
        const seen = s.outlineStyle !== 'none' || s.boxShadow !== 'none';
        return `${e.id || e.textContent.trim().slice(0, 40)}${seen ? '' : ' (unseen)'}`; }"""
    )


def tab_to(page, wanted: str, most: int = 60) -> list[str]:
    """Press Tab until an element has the focus, and return the way there."""
    way: list[str] = []
    while not way or way[-1] != wanted:
        assert len(way) < most, way
        page.keyboard.press("Tab")
        way.append(focused(page))
    return way


def test_an_order_can_be_given_by_keyboard_alone(browser: Browser, url: str, showcase: Showcase) -> None:
    page = browser.view()
    page.goto(f"{url}/messages?status=waiting&domain={words.DOWN}")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    way = tab_to(page, "bulk-action")
    assert "nav-overview" not in way
    page.keyboard.press("h")
    tab_to(page, "bulk-go")
    page.keyboard.press("Enter")
    page.wait_for_selector("#confirm")
    tab_to(page, "confirm-no")
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "confirm-yes"
    page.keyboard.press("Enter")
    page.wait_for_selector("#note")
    assert count(showcase, "--status", "held", "--domain", words.DOWN) > 0


@pytest.mark.parametrize("path", ["/", "/messages", "/settings", "/live"])
def test_each_focus_can_be_seen(browser: Browser, url: str, path) -> None:
    page = browser.view()
    page.goto(url + path)
    page.keyboard.press("Tab")
    way = []
    # Behind the last element the focus leaves the page.
    while len(way) < 30 and page.evaluate("document.activeElement !== document.body"):
        way.append(focused(page))
        page.keyboard.press("Tab")
    assert len(way) > 5
    assert [step for step in way if "unseen" in step] == []


def test_a_relay_that_stops_meanwhile_is_told_and_its_return_too(
    browser: Browser, url: str, showcase: Showcase
) -> None:
    page = browser.view()
    page.goto(url)
    page.wait_for_selector("#plot canvas")
    assert showcase.relay.stop() == 0
    page.wait_for_selector("#offline:visible")
    assert "does not answer" in page.text_content("#offline")
    showcase.relay.start()
    page.wait_for_selector("#offline", state="hidden")
    browser.troubles.clear()
    # What a reader sees goes on.
    page.goto(url + "/live")
    until(lambda: "Following" in page.text_content("#live-state"), what="the stream")
    assert showcase.relay.stop() == 0
    until(lambda: "ended" in page.text_content("#live-state"), what="the end of the stream")
    showcase.relay.start()
    until(lambda: "Following" in page.text_content("#live-state"), what="the stream of the next process")
    browser.troubles.clear()
