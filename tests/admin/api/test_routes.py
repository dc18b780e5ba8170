"""The routes of the API on a site in memory: parameters, bounds, errors, orders and streams."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.admin.api.answers import READER_PATIENCE
from mta.admin.api.app import PART
from mta.admin.api.events import HEARTBEAT
from mta.admin.api.questions import MAX_QUESTIONS, PATIENCE
from mta.admin.api.site import MAX_BODY
from mta.admin.feed import Feed
from mta.admin.state import LoggedEvent, NotRunning, StateError, TooMany
from mta.queue.entries import Action, Entry, Query, QueueId, Summary
from mta.queue.ids import to_id
from mta.queue.worker_queues.combined import OperatorQueue
from tests.daemon.parts.test_admin import OwnStateTests as Relay
from tests.drivers.operator_site import STRANGER, OperatorSiteDriver
from tests.fakes.relay_state import FakeRelayState


class ApiCase(SynchronousTestCase):
    """A relay with a queue, and its API."""

    def setUp(self) -> None:
        self.relay = Relay()
        self.relay.make()
        self.addCleanup(self.relay.doCleanups)
        self.driver = OperatorSiteDriver(self.relay.state)

    def error(self, target: str, status: int, headers: str = "") -> str:
        answer = self.driver.get(target, headers)
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertNotIn("Server", answer.headers)
        return str(answer.json["error"]["text"])


class FailingState(FakeRelayState):
    """A relay that cannot count its messages."""

    def __init__(self, queue: OperatorQueue, error: Exception) -> None:
        super().__init__(queue, 0.0)
        self.error = error

    async def summary(self) -> Summary:
        raise self.error


class SlowState(FakeRelayState):
    """A relay whose searches last until the test ends them."""

    def __init__(self, queue: OperatorQueue, now: float) -> None:
        super().__init__(queue, now)
        self.waiting: list[Deferred[list[Entry]]] = []

    async def find(self, query: Query) -> list[Entry]:  # noqa: ARG002
        self.waiting.append(Deferred())
        return await self.waiting[-1]


class FollowedState(FakeRelayState):
    """A relay whose events the test makes."""

    def __init__(self, queue: OperatorQueue, now: float) -> None:
        super().__init__(queue, now)
        self.feed = Feed(lambda _receive: lambda: None)

    async def follow(self, receive: Callable[[LoggedEvent], object]) -> Callable[[], None]:
        return self.feed.follow(receive)


class QuestionTests(ApiCase):
    def test_a_list_has_a_cursor_if_there_is_more(self) -> None:
        ids = [self.relay.added().id for _ in range(3)]
        answer = self.driver.get("messages?limit=2")
        self.assertEqual([each["id"] for each in answer.json["messages"]], [ids[2], ids[1]])
        self.assertEqual(answer.json["next"], ids[1])
        rest = self.driver.get(f"messages?limit=2&before={ids[1]}").json
        self.assertEqual(([each["id"] for each in rest["messages"]], rest["next"]), ([ids[0]], None))
        self.assertEqual(self.driver.get("messages?limit=3").json["next"], None)

    def test_a_page_of_many_messages_is_read_and_written_in_parts(self) -> None:
        ids = [self.relay.added(f"{'x' * 60}{number}@b.test").id for number in range(PART + 50)]
        connection = self.driver.request("GET", "/api/v1/messages?limit=1000&order=oldest")
        for _ in range(20):
            self.driver.clock.advance(0)
        answer = connection.answer()
        self.assertEqual([each["id"] for each in answer.json["messages"]], ids)
        self.assertGreater(len(answer.body), 65536)

    def test_a_message_may_be_named_by_the_beginning_of_its_id(self) -> None:
        new = self.relay.added(body=b"Subject: x\r\n\r\nbody\r\n")
        self.relay.delivery.rated = new.id
        answer = self.driver.get(f"messages/{new.id[:12]}")
        self.assertEqual((answer.json["id"], answer.json["waits_for"]), (new.id, "the rate of 30-pace.toml:1"))
        content = self.driver.get(f"messages/{new.id[:12]}/content")
        self.assertEqual(content.headers["Content-Type"], "message/rfc822")
        self.assertEqual(content.body, b"Subject: x\r\n\r\nbody\r\n")
        self.assertEqual(content.headers["Content-Disposition"], "attachment")
        self.relay.added()
        self.assertIn("several messages", self.error(f"messages/{new.id[:2]}", 400))

    def test_an_error_has_a_status_and_a_text(self) -> None:
        self.assertEqual(self.error("nix", 404), "there is no such route: see /api/v1/openapi.json")
        self.assertEqual(self.error("about?x=1", 400), "there is no parameter 'x'")
        self.assertEqual(self.error("messages?colour=red", 400), "there is no parameter 'colour'")
        self.assertEqual(self.error("messages?since=soon", 400)[:13], "since: 'soon'")
        self.assertEqual(self.error("traffic?since=soon", 400)[:13], "since: 'soon'")
        self.assertEqual(self.error("messages?to=%ff", 400), "the parameters are not UTF-8")
        self.assertEqual(self.error("%ff", 400), "the path is not UTF-8")
        self.assertEqual(self.error("messages/xyz!", 400), "not a queue id: 'xyz!'")
        self.assertIn("is in the queue or its history", self.error(f"messages/{to_id(5)}", 404))
        self.assertIn("is in the queue", self.error(f"messages/{to_id(5)}/content", 404))
        self.assertEqual(self.error("messages?" + "&".join(["to=a"] * 1001), 400), "more than 1000 parameters")
        self.assertEqual(self.error("about", 401, STRANGER), "who are you?")
        self.assertEqual(self.driver.request("POST", "/api/v1/about").answer().status, 405)
        self.assertEqual(self.driver.request("GET", "/").answer().status, 404)

    def test_a_host_that_no_url_may_have_is_no_matter(self) -> None:
        connection = self.driver.connect()
        connection.send(b"GET /api/v1/about HTTP/1.1\r\nHost: \xff\xfe..:x\r\nConnection: close\r\n\r\n")
        self.driver.clock.advance(0)
        self.assertEqual(connection.answer().status, 200)
        connection = self.driver.connect()
        connection.send(b"GET /api/v1/about HTTP/1.0\r\n\r\n")
        self.driver.clock.advance(0)
        self.assertEqual(connection.answer().status, 200)

    def test_errors_of_the_relay_have_kinds(self) -> None:
        for error, status, kind in (
            (StateError("disk"), 500, "failed"),
            (NotRunning("starts"), 503, "not_running"),
            (TooMany("later"), 503, "too_many"),
        ):
            self.fail_with(error)
            answer = self.driver.get("summary")
            self.assertEqual((answer.status, answer.json), (status, {"error": {"kind": kind, "text": str(error)}}))
        self.assertEqual(answer.headers["Retry-After"], "2")

    def fail_with(self, error: Exception) -> None:
        self.driver = OperatorSiteDriver(FailingState(self.relay.queue, error))

    def test_a_bug_is_logged_and_told_without_a_traceback(self) -> None:
        self.fail_with(ZeroDivisionError("division by zero"))
        answer = self.driver.get("summary")
        self.assertEqual((answer.status, answer.json["error"]["kind"]), (500, "fault"))
        self.assertNotIn(b"division", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class BoundTests(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        state = SlowState(self.relay.queue, 0.0)
        self.waiting = state.waiting
        self.driver = OperatorSiteDriver(state)

    def test_a_question_that_takes_too_long_is_answered_and_goes_on(self) -> None:
        connection = self.driver.request("GET", "/api/v1/messages")
        self.driver.clock.advance(PATIENCE)
        answer = connection.answer()
        self.assertEqual((answer.status, answer.json["error"]["kind"]), (504, "too_slow"))
        self.waiting[0].callback([])

    def test_questions_have_a_bound_until_they_end(self) -> None:
        crowd = [self.driver.request("GET", "/api/v1/messages") for _ in range(MAX_QUESTIONS)]
        # The read of the queue goes on although its asker is gone.
        crowd[0].lose()
        self.assertEqual(self.error("summary", 503)[:18], "the relay works on")
        self.waiting[0].callback([])
        self.assertEqual(self.driver.get("summary").status, 200)

    def test_an_answer_that_fails_in_its_middle_is_broken_off(self) -> None:
        big = self.relay.added("x" * 60 + "@b.test", sender=None)
        connection = self.driver.request("GET", "/api/v1/messages?limit=1000")
        entry = self.relay.entry(big.id)
        self.waiting[0].callback([entry] * PART)
        self.waiting[1].callback([entry] * PART)
        self.driver.clock.advance(0)
        self.driver.clock.advance(0)
        self.assertTrue(connection.transport.value())
        self.assertFalse(connection.transport.aborted)
        self.waiting[2].errback(StateError("disk"))
        self.driver.clock.advance(0)
        self.assertTrue(connection.transport.aborted)
        connection.lose()

    def test_a_reader_that_does_not_read_is_left(self) -> None:
        big = self.relay.added("x" * 50 + "@b.test")
        connection = self.driver.request("GET", "/api/v1/messages?limit=1000")
        entry = self.relay.entry(big.id)
        for part in range(2):
            self.waiting[part].callback([entry] * PART)
        self.driver.clock.advance(0)
        producer: Any = connection.transport.producer
        producer.pauseProducing()
        self.waiting[2].callback([entry] * PART)
        self.driver.clock.advance(READER_PATIENCE - 1)
        self.assertFalse(connection.transport.aborted)
        self.driver.clock.advance(1)
        self.assertTrue(connection.transport.aborted)
        connection.lose()

    def test_a_large_body_is_refused_before_it_has_arrived(self) -> None:
        for head in (f"Content-Length: {MAX_BODY + 1}", "Transfer-Encoding: chunked"):
            connection = self.driver.connect()
            connection.send(f"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
            if "chunked" in head:
                for _ in range(5):
                    connection.send(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
            answer = connection.answer()
            self.assertEqual((answer.status, answer.json["error"]["kind"]), (413, "too_large"))
            self.assertTrue(connection.transport.disconnecting)


class OrderTests(ApiCase):
    def test_an_order_is_json(self) -> None:
        new = self.relay.added()
        order = {"action": "hold", "ids": [new.id], "by": "alice"}
        self.assertEqual(self.driver.order(order, "application/x-www-form-urlencoded").status, 415)
        self.assertEqual(self.driver.order([], "application/json; charset=utf-8").status, 400)
        said = self.driver.order({"action": "hold"}).json["error"]["text"]
        self.assertEqual(said, "an order has no ids; null is all messages")
        self.assertEqual(self.relay.actions, [])
        answer = self.driver.order(order)
        self.assertEqual(answer.json, {"ids": [new.id], "held": 0, "unreported": 0, "failure": None})
        self.assertEqual(self.relay.actions, [(Action.HOLD, [new.id], "alice")])
        body = b"{" * 100_000
        head = "Content-Type: application/json\r\n"
        self.assertEqual(self.driver.request("POST", "/api/v1/orders", body, head).answer().status, 400)

    def test_an_order_may_have_conditions_in_place_of_ids(self) -> None:
        new, held = self.relay.added("a@b.test"), self.relay.added("c@b.test")
        self.relay.added("a@d.test")
        self.relay.ordered(Action.HOLD, [held.id])
        answer = self.driver.order({"action": "retry", "conditions": {"domain": "b.test"}})
        self.assertEqual(answer.json["ids"], [new.id])
        for wrong in ({}, {"to": ""}, {"to": 5}, {"colour": "red"}, []):
            self.assertEqual(self.driver.order({"action": "hold", "conditions": wrong}).status, 400, wrong)
        self.assertEqual(self.driver.order({"action": "bounce", "ids": None}).status, 400)
        self.assertEqual(self.driver.order({"action": "reroute", "ids": [new.id], "to": "x"}).status, 400)
        half = {"action": "hold", "conditions": {"domain": "\ud800"}}
        self.assertEqual(self.driver.order(half).status, 400)
        self.assertEqual(self.driver.order({"action": "hold", "ids": [new.id], "recipient": "\ud800"}).status, 400)
        both = {"action": "hold", "ids": [new.id], "conditions": {"domain": "b.test"}}
        self.assertEqual(self.driver.order(both).status, 400)

    def test_an_order_goes_on_if_its_sender_is_gone(self) -> None:
        going: Deferred[list[QueueId]] = Deferred()
        new = self.relay.added()
        self.patch(self.relay.queue, "apply", lambda *_, **__: going)
        body = json.dumps({"action": "hold", "ids": [new.id]}).encode()
        head = "Content-Type: application/json\r\n"
        connection = self.driver.request("POST", "/api/v1/orders", body, head)
        # An order may take as long as it needs.
        self.driver.clock.advance(PATIENCE)
        self.assertEqual(connection.transport.value(), b"")
        connection.lose()
        going.callback([new.id])
        self.assertEqual(self.relay.actions, [(Action.HOLD, [new.id], "operator")])


class EventTests(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        state = FollowedState(self.relay.queue, 0.0)
        self.feed = state.feed
        self.driver = OperatorSiteDriver(state)

    def tell(self, name: str, **fields: str) -> None:
        self.feed.receive(1.5, name, fields)

    def lines(self, data: bytes) -> Sequence[str]:
        return [line for line in data.decode().split("\r\n\r\n", 1)[1].split("\r\n")[1::2] if line.strip()]

    def test_events_are_lines_of_json_and_each_beat_an_empty_line(self) -> None:
        connection = self.driver.request("GET", "/api/v1/events")
        self.tell("accepted", id=to_id(1))
        self.driver.clock.advance(HEARTBEAT)
        head, _, body = connection.transport.value().partition(b"\r\n\r\n")
        self.assertIn(b"Content-Type: application/x-ndjson", head)
        (line,) = self.lines(b"\r\n\r\n" + body)
        self.assertEqual(json.loads(line)["event"], "accepted")
        self.assertEqual(body.count(b"\r\n1\r\n\n\r\n") + body.startswith(b"1\r\n\n\r\n"), 2)
        connection.lose()
        self.tell("accepted", id=to_id(2))
        self.driver.clock.advance(HEARTBEAT)

    def test_a_browser_gets_server_sent_events(self) -> None:
        connection = self.driver.request("GET", "/api/v1/events", headers="Accept: text/event-stream\r\n")
        self.tell("accepted", id=to_id(1))
        self.assertIn(b"Content-Type: text/event-stream", connection.transport.value())
        self.assertIn(b'data: {"time": "1970-01-01T00:00:01.500Z", "event": "accepted"', connection.transport.value())

    def test_only_events_that_meet_the_conditions_are_told(self) -> None:
        known = self.relay.added("a@b.test").id
        connection = self.driver.request("GET", "/api/v1/events?subject=x&to=*@b.test")
        self.tell("delivered", id=known, to="<a@b.test>")
        self.assertEqual(self.lines(connection.transport.value()), [])
        connection = self.driver.request("GET", "/api/v1/events?domain=b.test")
        self.tell("delivered", id=known, to="<a@b.test>")
        self.tell("delivered", id=known, to="<a@c.test>")
        self.assertEqual(len(self.lines(connection.transport.value())), 1)

    def test_a_slow_reader_misses_events_and_is_told(self) -> None:
        connection = self.driver.request("GET", "/api/v1/events")
        producer: Any = connection.transport.producer
        producer.pauseProducing()
        for number in range(1500):
            self.tell("accepted", id=to_id(number))
        before = len(connection.transport.value())
        self.driver.clock.advance(HEARTBEAT)
        self.assertEqual(len(connection.transport.value()), before)
        producer.resumeProducing()
        lines = self.lines(connection.transport.value())
        self.assertEqual((len(lines), json.loads(lines[-1])["event"]), (1001, "lost"))

    def test_too_many_followers_are_refused(self) -> None:
        crowd = [self.driver.request("GET", "/api/v1/events") for _ in range(20)]
        self.assertEqual(self.driver.get("events").status, 503)
        crowd[0].lose()
        self.assertEqual(self.driver.request("GET", "/api/v1/events").transport.value()[9:12], b"200")
