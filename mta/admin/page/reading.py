"""The routes that only read: first view, search, one message, destinations, settings, live events."""

import json
from collections.abc import Callable
from datetime import UTC
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from mta.admin.event_filter import EventFilter
from mta.admin.feed import SlowFollower
from mta.admin.page.front import Front, argument, arguments, html, redirect, whole_id
from mta.admin.state import DestinationState, LoggedEvent, StateError
from mta.admin.views.events import event_object
from mta.admin.views.message import notes, steps
from mta.admin.views.orders import ORDERS, ORDERS_APART, orders_for, waiting_apart
from mta.admin.views.search import FIELDS, STATES, Results, Row, conditions_in, results, row, search_query, url_of
from mta.admin.views.text import message_badge, number, recipient_badge
from mta.admin.views.waiting import destination_state, waiting_domains
from mta.explain.destination.live import live_lines
from mta.explain.message.page import MessagePage
from mta.queue.interface import Entry, Query, RecipientState, Status
from mta.queue.search.conditions import Conditions
from mta.queue.search.reading import ConditionError, read_conditions

#: Domains that the view of destinations shows.
MAX_DOMAINS = 200
#: Octets of a message's header that are shown.
MAX_HEADER = 256 * 1024
#: Characters of the name of a destination.
MAX_NAME = 300
_NEWEST = 30
#: Seconds between two comments, which keep proxies from closing a silent stream.
ALIVE_SECONDS = 20.0


class ReadingRoutes:
    """Answers with views."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._asking = front.asking

    def add_to(self, app: Klein) -> None:
        """Add the routes to an app."""
        for path, handler in (
            ("/", self.overview),
            ("/messages", self.search),
            ("/messages/count", self.count),
            ("/messages/<id>", self.message),
            ("/messages/<id>/header", self.header),
            ("/destinations", self.destinations),
            ("/destinations/<path:domain>", self.destination),
            ("/settings", self.settings),
            ("/live", self.live),
            ("/live/events", self.events),
        ):
            app.route(path, methods=["GET"])(handler)

    async def overview(self, request: Any) -> bytes:
        """Show the first view."""
        browser = self._front.reader(request)
        data = await self._asking.overview()
        return self._front.page(request, browser, "overview", "overview", data=data, now=data.now)

    def _conditions(self, request: Any) -> tuple[dict[str, tuple[str, ...]], Conditions]:
        """Return the conditions in the URL, as words and as a value. Raises ConditionError."""
        words = conditions_in(arguments(request))
        return words, read_conditions(words, self._asking.wall_clock(), UTC)

    async def search(self, request: Any) -> bytes:
        """Show the messages that meet the conditions in the URL."""
        browser = self._front.reader(request)
        before, problem, found = argument(request, "before"), "", Results({}, (), "", "", detailed=False)
        try:
            words, conditions = self._conditions(request)
            query = search_query(conditions, whole_id(before) if before else "")
            entries = await self._asking.bounded(lambda: self._asking.state.find(query))
            found = results(words, entries, before)
            request.setHeader("HX-Push-Url", url_of(words))
        except ConditionError as error:
            problem, found = str(error), results(conditions_in(arguments(request)), (), "")
        count_url = url_of(found.words, "/messages/count")
        data = {"data": found, "fields": FIELDS, "states": STATES, "orders": ORDERS.values(), "count_url": count_url}
        data["now"] = self._asking.wall_clock()
        return self._front.page(request, browser, "search", "messages", problem=problem, **data)

    async def count(self, request: Any) -> bytes:
        """Answer with the number of messages that meet the conditions in the URL."""
        self._front.reader(request)
        _, conditions = self._conditions(request)
        count = await self._asking.bounded(lambda: self._asking.state.count(conditions, finished=True))
        return html(request, f"of {number(count)}".encode())

    async def message(self, request: Any, id: str) -> bytes:
        """Show one message."""
        browser = self._front.reader(request)
        page: MessagePage = await self._asking.bounded(lambda: self._front.parts.explain(id[:20]))
        entry = page.entry
        if entry.id != id:
            return redirect(request, f"/messages/{entry.id}")
        waits = any(each.status is Status.WAITING for each in entry.recipients)
        data = {"data": page, "badge": message_badge(entry), "recipient_badge": _badge, "waits": waits, "live": waits}
        data |= {"steps": steps(page.timeline), "notes": notes(page.notes), "actions": orders_for(entry)}
        data |= {"apart": waiting_apart(entry), "orders_apart": [ORDERS[each] for each in ORDERS_APART]}
        return self._front.page(request, browser, "message", "messages", **data)

    async def header(self, request: Any, id: str) -> bytes:
        """Show the header of a message that waits."""
        browser = self._front.reader(request)
        content = await self._asking.bounded(lambda: self._asking.state.content(whole_id(id)))
        if content is None:
            raise StateError("the message does not wait any more, so its content is gone")
        text = content[:MAX_HEADER].partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        return self._front.page(request, browser, "header", "messages", id=id, text=text)

    async def destinations(self, request: Any) -> bytes:
        """Show the destinations of the delivery, and the domains for which mail waits."""
        browser = self._front.reader(request)
        now, state = self._asking.wall_clock(), self._asking.state
        shapes = await self._asking.bounded(state.domains)
        known = sorted(await self._asking.bounded(state.destinations), key=lambda each: not _is_in_trouble(each))
        data = {
            "destinations": [(each, *destination_state(each, now)) for each in known[:MAX_DOMAINS]],
            "domains": waiting_domains(shapes[:MAX_DOMAINS], known, now),
            "more": max(0, len(shapes) - MAX_DOMAINS),
            "now": now,
            "path": request.uri.decode("ascii", "replace"),
        }
        return self._front.page(request, browser, "destinations", "destinations", **data)

    async def destination(self, request: Any, domain: str) -> bytes:
        """Show one domain or host."""
        browser = self._front.reader(request)
        name = domain[:MAX_NAME]
        page = await self._asking.bounded(lambda: self._front.parts.explain_destination(name))
        shapes = page.by_host if page.shape is None else (page.shape,)
        data = {
            "data": page,
            "domains": waiting_domains(shapes, page.live, page.now),
            "live": [(each.name, list(live_lines(each))) for each in page.live],
            "now": page.now,
            "path": request.uri.decode("ascii", "replace"),
        }
        return self._front.page(request, browser, "destination", "destinations", **data)

    async def settings(self, request: Any) -> bytes:
        """Show the settings and the rules in force."""
        browser = self._front.reader(request)
        settings = await self._asking.bounded(self._asking.state.settings)
        rules = await self._asking.bounded(self._asking.state.rules)
        given = [each for each in settings if each.origin]
        defaults = [each for each in settings if not each.origin]
        return self._front.page(request, browser, "settings", "settings", given=given, defaults=defaults, rules=rules)

    async def live(self, request: Any) -> bytes:
        """Show the page of live events; without script it has the newest messages."""
        browser = self._front.reader(request)
        problem, words = "", conditions_in(arguments(request))
        rows: tuple[Row, ...] = ()
        try:
            words, conditions = self._conditions(request)
            query = Query(finished=True, limit=_NEWEST, conditions=conditions, newest_first=True)
            rows = tuple(map(row, await self._asking.bounded(lambda: self._asking.state.find(query))))
        except ConditionError as error:
            problem = str(error)
        data = {"word": " ".join(words.get("word", ())), "source": url_of(words, "/live/events"), "rows": rows}
        return self._front.page(request, browser, "live", "live", problem=problem, **data)

    async def events(self, request: Any) -> bytes:
        """Stream the events that meet the conditions in the URL."""
        browser = self._front.reader(request)
        _, conditions = self._conditions(request)
        stream = BrowserStream(
            request,
            EventFilter(conditions),
            self._front.parts.clock,
            lambda: self._front.access.lasts(browser, self._front.now()),
        )
        try:
            end = await self._asking.state.follow(stream.receive)
        except StateError as error:
            write_header(request)
            request.write(f"event: refused\ndata: {error}\n\n".encode())
            return b""
        stream.begin(end)
        await stream.gone
        return b""


def _badge(state: RecipientState, entry: Entry) -> object:
    return recipient_badge(state, held=entry.held, claimed=entry.claimed)


@implementer(IPushProducer)
class BrowserStream:
    """Writes the events that pass a filter to a browser, which may read slowly."""

    def __init__(self, request: Any, passes: EventFilter, clock: Any, may_read: Callable[[], bool]) -> None:
        """`may_read` returns whether the session of the browser lasts; the stream ends soon after it."""
        self._request = request
        self._filter = passes
        self._follower = SlowFollower(self._write)
        self._may_read = may_read
        self._alive = LoopingCall(self._keep_alive)
        self._alive.clock = clock
        self._end: Callable[[], None] | None = None
        #: Fires when the browser is gone.
        self.gone: Deferred[None] = Deferred()

    def begin(self, end: Callable[[], None]) -> None:
        """Write the header. `end` is called when the browser is gone."""
        request = self._request
        self._end = end
        write_header(request)
        request.notifyFinish().addBoth(self._gone)
        request.registerProducer(self, True)  # noqa: FBT003  Twisted's interface
        self._alive.start(ALIVE_SECONDS)

    def _keep_alive(self) -> None:
        if self._may_read():
            self._request.write(b": alive\n\n")
        else:
            self._request.loseConnection()

    def receive(self, event: LoggedEvent) -> None:
        """Take an event."""
        if self._end is not None and self._filter.passes(event):
            self._follower.receive(event)

    def _write(self, event: LoggedEvent) -> None:
        self._request.write(b"data: " + json.dumps(event_object(event)).encode() + b"\n\n")

    def _gone(self, _: object) -> None:
        if self._end is not None:
            end, self._end = self._end, None
            end()
            self._request.unregisterProducer()
            if not self.gone.called:
                self.gone.callback(None)
        if self._alive.running:
            self._alive.stop()

    def pauseProducing(self) -> None:  # noqa: N802  Twisted names it
        """Have events wait."""
        self._follower.pause()

    def resumeProducing(self) -> None:  # noqa: N802
        """Write the events that wait."""
        self._follower.resume()

    def stopProducing(self) -> None:  # noqa: N802
        """End the stream."""
        self._gone(None)


def write_header(request: Any) -> None:
    """Begin a stream."""
    request.setHeader("Content-Type", "text/event-stream; charset=utf-8")
    request.setHeader("X-Accel-Buffering", "no")
    request.write(b"retry: 3000\n\n")


def _is_in_trouble(destination: DestinationState) -> bool:
    return destination.throttled or destination.blocked_until is not None or destination.failures > 0
