"""The page as a browser without script has it: views, search, orders, and the answers to errors."""

import json
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from mta.admin.doctor_file import keep_run
from mta.admin.page.asking import FRESH
from mta.admin.page.site import MAX_BODY, MAX_FORM, SECURITY_HEADERS
from mta.admin.state import DoctorRun, Order, OrderResult
from mta.doctor.findings import failure, ok
from mta.queue.interface import Action, Status
from tests.admin.page.browser import CLIENT, MemoryBrowser, PageUnderTest
from tests.admin.page.conftest import SECRET, RelayUnderTest
from tests.fakes.relay_state import FakeRelayState
from tests.queue.messages import NOW

SCRIPT = "<script>alert(1)</script>"
VIEWS = ("/", "/messages", "/destinations", "/live", "/settings")


@pytest.mark.parametrize("path", VIEWS)
def test_each_view_is_whole_html_with_its_headers(browser: MemoryBrowser, relay: RelayUnderTest, path: str) -> None:
    relay.add("bob@example.test")
    answer = browser.get(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in SECURITY_HEADERS:
        assert answer.headers[name.lower()] == value
    assert answer.text.rstrip().endswith("</html>")
    assert 'aria-current="page"' in answer.text
    # No script and no style stands in the page itself.
    assert not re.search(r"<script(?! defer src=)|<style|\sstyle=|\son\w+=|javascript:", answer.text)


def test_the_first_view_tells_that_all_is_well(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    relay.delivered()
    text = browser.get("/").text
    assert "All is well" in text
    assert "1,234" in text
    assert "Nothing is waiting." in text


def test_the_first_view_tells_troubles_waiting_mail_and_failures(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    relay.add("bob@slow.test", held=True)
    relay.failed("never@example.test")
    relay.feed.receive_error(NOW - 600, "alarm", {"text": "the ledger lost <b>one</b>"})
    text = browser.get("/").text
    assert "2 things need a look" in text
    assert "1 message is held until released" in text
    assert "slow.test" in text
    assert "The receiver has no mailbox with this address." in text
    assert "the ledger lost &lt;b&gt;one&lt;/b&gt;" in text


def test_a_destination_is_explained_with_its_mail_and_its_replies(
    browser: MemoryBrowser, relay: RelayUnderTest
) -> None:
    relay.add("bob@slow.test", subject="slow")
    relay.failed("never@slow.test")
    text = browser.get("/destinations/slow.test").text
    assert "<h1>slow.test</h1>" in text
    assert '<a href="/messages?domain=slow.test' in text
    assert "The receiver has no mailbox with this address." in text
    assert "The relay has not tried it lately." in text
    assert browser.get("/destinations/SLOW.test").status == 200
    answer = browser.get("/destinations/a%20b")
    assert answer.status == 404
    assert "No such destination" in answer.text
    assert SCRIPT not in browser.get(f"/destinations/{SCRIPT}").text


def test_a_subject_that_is_a_script_is_text_everywhere(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add("bob@example.test", subject=f"{SCRIPT}'\"&")
    for path in ("/messages", f"/messages/{id}", f"/messages/{id}/order?action=hold", "/live"):
        text = browser.get(path).text
        assert SCRIPT not in text
        assert SCRIPT in unescape(text)


def test_a_search_takes_conditions_in_its_url(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    waiting, done = relay.add("bob@one.test"), relay.delivered("eve@two.test")
    both = browser.get("/messages").text
    assert waiting in both
    assert done in both
    found = browser.get("/messages?domain=two.test&status=delivered").text
    assert done in found
    assert waiting not in found
    assert 'value="two.test"' in found
    assert re.search(r'value="delivered"[^>]* checked', found)


@pytest.mark.parametrize("text", ["status=nowhere", "since=whenever", "larger=big", "from=a&from=b", "word=%00"])
def test_a_wrong_condition_is_told_in_the_form(browser: MemoryBrowser, text: str) -> None:
    answer = browser.get(f"/messages?{text}")
    assert answer.status == 200
    assert 'id="problem" role="alert"' in answer.text


def test_a_long_list_comes_in_parts(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    ids = [relay.add("bob@example.test", subject=f"number {number:03}") for number in range(60)]
    first = browser.get("/messages").text
    older = re.search(r'href="([^"]+)" id="older"', first)
    assert older is not None
    second = browser.get(unescape(older[1])).text
    assert sum(id in first for id in ids) == 50
    assert sum(id in second for id in ids) == 10
    assert 'id="newest"' in second
    assert browser.get("/messages/count?status=waiting").text == "of 60"


def test_a_message_has_its_explanation_and_its_header(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add("bob@example.test", subject="the subject")
    text = browser.get(f"/messages/{id}").text
    assert "the subject" in text
    assert "submitted by the client 192.0.2.7" in text
    assert "the rate of 30-pace.toml:1" in text
    for action in ("retry", "hold", "bounce", "remove"):
        assert f'id="order-{action}"' in text
    assert "Subject: hi" in browser.get(f"/messages/{id}/header").text


def test_a_message_of_the_history_has_no_orders_and_no_header(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.delivered()
    text = browser.get(f"/messages/{id}").text
    assert 'id="actions"' not in text
    answer = browser.get(f"/messages/{id}/header")
    assert answer.status == 409
    assert "does not wait any more" in answer.text


def test_an_abbreviated_id_leads_to_its_message(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add()
    assert browser.get(f"/messages/{id[:12]}").location == f"/messages/{id}"
    assert browser.get("/messages/zzzzzzzzzzzzz").status == 404


def test_an_order_is_reviewed_then_carried_out_and_told(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add()
    review = browser.get(f"/messages/{id}/order?action=hold")
    assert "Hold 1 message?" in review.text
    assert not relay.held(id)
    done = browser.post("/orders", token=review.token, plan=review.plan)
    assert (done.status, done.location) == (303, f"/messages/{id}")
    assert relay.held(id)
    assert relay.ordered() == [(Action.HOLD, (id,), f"page:{CLIENT}")]
    assert "1 message was held." in browser.get(done.location).text
    assert "1 message was held." not in browser.get(done.location).text


def test_an_order_by_conditions_means_the_messages_that_were_counted(
    browser: MemoryBrowser, relay: RelayUnderTest
) -> None:
    ids = {relay.add("bob@one.test") for _ in range(12)}
    other = relay.add("bob@two.test")
    review = browser.get("/orders?action=remove&domain=one.test")
    assert "Remove 12 messages?" in review.text
    assert "10 of them" in review.text
    assert "This cannot be taken back." in review.text
    late = relay.add("bob@one.test")
    browser.post("/orders", token=review.token, plan=review.plan)
    assert {relay.status(id) for id in ids} == {Status.REMOVED}
    assert relay.status(late) is relay.status(other) is Status.WAITING


def test_an_order_is_carried_out_once_and_by_its_own_browser(
    browser: MemoryBrowser, page: PageUnderTest, relay: RelayUnderTest
) -> None:
    id = relay.add()
    review = browser.get(f"/messages/{id}/order?action=hold")
    other = MemoryBrowser(page)
    token = (
        other.get("/orders?action=hold&domain=none.test").token or other.get(f"/messages/{id}/order?action=hold").token
    )
    assert other.post("/orders", token=token, plan=review.plan).status == 409
    assert not relay.held(id)
    browser.post("/orders", token=review.token, plan=review.plan)
    again = browser.post("/orders", token=review.token, plan=review.plan)
    assert again.status == 409
    assert "was given already" in again.text
    assert len(relay.orders) == 1


class SlowOrders(FakeRelayState):
    """A relay that carries out orders when `ready` fires."""

    def __init__(self, relay: RelayUnderTest) -> None:
        super().__init__(relay.queue, NOW)
        self.ready: Deferred[None] = Deferred()

    async def order(self, order: Order) -> OrderResult:
        await self.ready
        return await super().order(order)


def test_an_order_goes_on_when_its_browser_leaves(relay: RelayUnderTest) -> None:
    id = relay.add()
    state = SlowOrders(relay)
    browser = MemoryBrowser(PageUnderTest(state, NOW))
    review = browser.get(f"/messages/{id}/order?action=hold")
    left: Any = browser.open("POST", "/orders", urlencode({"token": review.token, "plan": review.plan}).encode())
    left.channel.connectionLost(Failure(ConnectionDone()))
    state.ready.callback(None)
    assert [each.ids for each in state.ordered] == [(id,)]
    assert "1 message was held." in browser.get("/messages").text


def test_mail_is_sent_another_way(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add()
    review = browser.get(f"/messages/{id}/order?action=reroute")
    wrong = browser.post("/orders", token=review.token, plan=review.plan, to="no way")
    assert wrong.status == 409
    assert not relay.orders
    assert browser.post("/orders", token=review.token, plan=review.plan, to="mx").status == 303
    assert [(each.action, each.to) for each in relay.orders] == [(Action.REROUTE, "mx")]


def test_one_recipient_of_a_message_has_orders_of_its_own(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    id = relay.add("bob+x@one.test", "eve@two.test")
    path = f"/messages/{id}/order?action=remove&recipient=bob%2Bx%40one.test"
    assert f'href="{path}"' in unescape(browser.get(f"/messages/{id}").text).replace("bob%2Bx@", "bob%2Bx%40")
    review = browser.get(path.replace("bob", "BOB"))
    assert "Remove 1 message, only for bob+x@one.test?" in unescape(review.text)
    assert "The other recipients are left as they are." in review.text
    assert browser.post("/orders", token=review.token, plan=review.plan).status == 303
    assert [(each.action, each.ids, each.recipient) for each in relay.orders] == [
        (Action.REMOVE, (id,), "bob+x@one.test")
    ]
    text = unescape(browser.get(f"/messages/{id}").text)
    assert "1 message was removed for bob+x@one.test." in text
    # Nobody but the last one waits now, for whom the orders on the message are enough.
    assert "Only this recipient" not in text


@pytest.mark.parametrize("query", ["action=remove&recipient=none@one.test", "action=hold&recipient=eve@two.test"])
def test_an_order_for_another_recipient_is_refused(browser: MemoryBrowser, relay: RelayUnderTest, query: str) -> None:
    id = relay.add("bob@one.test", "eve@two.test")
    answer = browser.get(f"/messages/{id}/order?{query}")
    assert answer.status == 409
    assert "no such order for one recipient" in answer.text


def test_the_search_tells_in_which_zone_times_are_read(browser: MemoryBrowser) -> None:
    text = browser.get("/messages").text
    assert "Times are read in UTC" in text
    assert re.search(r'Now it is <time datetime="[^"]+Z">[^<]+ UTC</time>', text)
    assert "Arrived since (UTC)" in text
    assert "Arrived before (UTC)" in text


def test_the_first_view_has_the_last_findings_of_doctor(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    assert "Run <code>smtprelay doctor</code>" in browser.get("/").text
    seen = failure("identity/ptr", "192.0.2.1 has no <PTR>", "ask the provider for one", "1.2.0.192 PTR relay.test.")
    assert keep_run(relay.directory, DoctorRun(NOW - 7200, (ok("dns/answers", "yes"), seen)))
    browser.page.clock.advance(FRESH)
    text = browser.get("/").text
    assert "Doctor found 1 failure: 192.0.2.1 has no &lt;PTR&gt;" in text
    assert "ask the provider for one" in text
    assert "2 h ago" in text


def test_an_order_on_nothing_has_nothing_to_confirm(browser: MemoryBrowser) -> None:
    review = browser.get("/orders?action=retry&domain=none.test")
    assert 'id="nothing"' in review.text
    assert 'name="plan"' not in review.text
    assert browser.get("/orders?action=destroy").status == 409


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_a_forged_post_changes_nothing(browser: MemoryBrowser, relay: RelayUnderTest, token: str) -> None:
    id = relay.add()
    review = browser.get(f"/messages/{id}/order?action=remove")
    answer = browser.post("/orders", token=token, plan=review.plan)
    assert answer.status == 403
    assert "This form is out of date" in answer.text
    foreign = browser.post("/orders", {"Sec-Fetch-Site": "cross-site"}, token=review.token, plan=review.plan)
    assert foreign.status == 403
    assert relay.status(id) is Status.WAITING


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_only_post_changes_anything(browser: MemoryBrowser, relay: RelayUnderTest, method: str) -> None:
    id = relay.add()
    review = browser.get(f"/messages/{id}/order?action=remove")
    browser.ask(method, f"/orders?plan={review.plan}&token={review.token}&action=remove")
    assert relay.status(id) is Status.WAITING
    assert not relay.orders


def test_a_foreign_host_is_refused(browser: MemoryBrowser) -> None:
    for host in ("evil.example", "evil.example:8025", "192.0.2.9", ""):
        answer = browser.get("/", Host=host)
        assert answer.status in (400, 421)
        assert "html" not in answer.headers.get("content-type", "")


def test_settings_show_no_secret(browser: MemoryBrowser) -> None:
    text = browser.get("/settings").text
    assert "smtp.example.net::587" in text
    assert "****" in text
    assert SECRET not in text
    assert "ALLOWED_SENDERS" in text


def test_live_events_are_streamed_and_filtered(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    all_events = browser.open("GET", "/live/events")
    some: Any = browser.open("GET", "/live/events?to=bob@*")
    relay.feed.receive(NOW, "delivered", {"id": "1", "to": "<bob@example.test>", "reply": f"250 {SCRIPT}"})
    relay.feed.receive(NOW, "delivered", {"id": "2", "to": "<eve@example.test>", "reply": "250 ok"})
    assert all_events.value().count(b"data: ") == 2
    assert some.value().count(b"data: ") == 1
    assert b"text/event-stream" in some.value()
    some.channel.connectionLost(Failure(ConnectionDone()))
    relay.feed.receive(NOW, "delivered", {"id": "3", "to": "<bob@example.test>", "reply": "250 ok"})
    assert some.value().count(b"data: ") == 1


def test_a_stream_too_many_is_told(browser: MemoryBrowser, relay: RelayUnderTest) -> None:
    for _ in range(20):
        browser.open("GET", "/live/events")
    assert b"event: refused" in browser.open("GET", "/live/events").value()


FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PARTS = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("kind", "octets", "status"),
    [
        (FORM, MAX_FORM, 403),
        (FORM, MAX_FORM + 1, 413),
        (JSON, MAX_BODY + 1, 413),
        (PARTS, 1, 415),
        ("text/plain", 1, 415),
    ],
)
def test_a_large_body_and_one_of_another_type_are_refused(
    browser: MemoryBrowser, kind: str, octets: int, status: int
) -> None:
    assert browser.ask("POST", "/orders", b"x" * octets, Content_Type=kind).status == status
    told = browser.ask("POST", "/api/v1/orders", b"x" * octets, Content_Type=kind)
    error = json.loads(told.text)["error"]["kind"]
    assert (told.status, error) == ((413, "too_large") if status == 413 else (415, "wrong_type"))


def test_a_body_of_several_parts_is_not_parsed(browser: MemoryBrowser) -> None:
    # Twisted answers 400 to one that is damaged, after it has parsed it.
    assert browser.ask("POST", "/login", b"damaged", Content_Type=PARTS).status == 415


def test_files_are_kept_by_browsers_and_compressed(browser: MemoryBrowser) -> None:
    names = re.findall(r'"(/static/[^"]+)"', browser.get("/").text)
    assert len(set(names)) == 6
    for name in names:
        answer = browser.get(name)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        assert browser.get(name, Accept_Encoding="gzip").headers["content-encoding"] == "gzip"
    for name in ("/static/x/page.css", names[0].rpartition("/")[0] + "/../routes.py", "/static/../access.py"):
        assert browser.get(name).status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/%ff"),
        ("GET", "/messages/%ff%fe"),
        ("GET", "/messages/%00"),
        ("GET", "/messages?word=%ff&status=%ff"),
        ("GET", "/live?word=%ff%00"),
        ("GET", "/destinations/%2e%2e%2f%ff"),
        ("GET", "/destinations/" + "a" * 5000),
        ("GET", "/messages?" + "word=a&" * 1000),
        ("GET", "/messages?before=%00'%22"),
        ("GET", "/messages/%00/header"),
        ("GET", "/messages/x/header"),
        ("GET", "/messages/x%27/order?action=hold"),
        ("GET", "/messages/count?since=9999999999999999d"),
        ("GET", "/orders?action=%ff"),
        ("GET", "//evil.example/%5c"),
        ("POST", "/%ff"),
        ("POST", "/login"),
        ("G\udcffT", "/"),
        ("*", "*"),
    ],
)
def test_odd_requests_are_answered_without_a_fault(browser: MemoryBrowser, method: str, path: str) -> None:
    logged: list[object] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        browser.open(method, path, b"token=%ff&plan=%00" if method == "POST" else b"")
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert [event for event in logged if isinstance(event, dict) and "log_failure" in event] == []


def test_an_unknown_page_is_told(browser: MemoryBrowser) -> None:
    answer = browser.get("/nothing")
    assert answer.status == 404
    assert "There is no such page" in answer.text


@pytest.mark.parametrize("path", VIEWS)
def test_a_view_with_all_of_its_files_is_small(browser: MemoryBrowser, relay: RelayUnderTest, path: str) -> None:
    for number in range(60):
        relay.add(
            f"somebody.{number}@destination-{number}.example.test", subject=f"Your order number {number} was sent"
        )
        relay.failed(f"somebody.{number}@destination-{number}.example.test")
    text = browser.get(path).text
    files = set(re.findall(r'"(/static/[^"]+)"', text))
    assert len(text) + sum(len(browser.get(file).text) for file in files) < 150_000
