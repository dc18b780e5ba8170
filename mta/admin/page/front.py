"""The parts that all routes share: who asks, arguments, templates, compressed answers."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from twisted.internet.interfaces import IReactorTime

from mta.admin.page.access import Access, Browser
from mta.admin.page.asking import Asking
from mta.admin.page.plans import PlannedOrders
from mta.admin.page.rendering import SiteData, Templates, compress
from mta.admin.page.site import text_of
from mta.explain.destination.page import DestinationPage
from mta.explain.message.page import MessageNotFound, MessagePage
from mta.queue.ids import to_number
from mta.queue.interface import QueueId

#: Octets from which on an answer is compressed.
_WORTH_COMPRESSING = 1400
#: Browsers for which a note is kept.
_MAX_NOTES = 100
#: Explains the message whose id begins so. Raises MessageNotFound, StateError.
Explain = Callable[[str], Awaitable[MessagePage]]
#: Explains a domain or a host. Raises NoDestination, StateError.
ExplainDestination = Callable[[str], Awaitable[DestinationPage]]


class NotLoggedIn(Exception):
    """The browser must log in first."""


@dataclass(frozen=True, slots=True)
class PageParts:
    """The parts of which the page is made."""

    asking: Asking
    access: Access
    templates: Templates
    site: SiteData
    explain: Explain
    explain_destination: ExplainDestination
    clock: IReactorTime


class Front:
    """Serves all routes."""

    def __init__(self, parts: PageParts) -> None:
        self.parts = parts
        self.asking = parts.asking
        self.access = parts.access
        self.plans = PlannedOrders()
        self._notes: OrderedDict[str, str] = OrderedDict()

    def now(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self.parts.clock.seconds()

    def browser(self, request: Any) -> Browser:
        """Return the browser that asks, and give it its cookie."""
        browser = self.access.browser(text_of(request.getHeader(b"cookie")), self.now())
        if browser.set_cookie:
            # In place of that of an earlier call, which made another id.
            request.responseHeaders.setRawHeaders(b"Set-Cookie", [browser.set_cookie.encode()])
        return browser

    def reader(self, request: Any) -> Browser:
        """Return the browser, which has logged in. Raises NotLoggedIn."""
        browser = self.browser(request)
        if not browser.logged_in:
            raise NotLoggedIn
        return browser

    def writer(self, request: Any) -> Browser:
        """Return the browser, which has logged in and sent a form of its own. Raises NotLoggedIn, WrongForm."""
        browser = self.reader(request)
        self.check_form(request, browser)
        return browser

    def check_form(self, request: Any, browser: Browser) -> None:
        """Raise WrongForm unless a form comes from this page."""
        self.access.check_form(browser, argument(request, "token"), text_of(request.getHeader(b"sec-fetch-site")))

    def note(self, browser: Browser, text: str) -> None:
        """Keep a line for the next page of a browser."""
        self._notes[browser.id] = text
        if len(self._notes) > _MAX_NOTES:
            self._notes.popitem(last=False)

    def page(self, request: Any, browser: Browser, template: str, view: str, **data: object) -> bytes:
        """Return a page."""
        note = "" if is_refresh(request) else self._notes.pop(browser.id, "")
        body = self.parts.templates.render(
            f"{template}.html", site=self.parts.site, browser=browser, view=view, note=note, **data
        )
        return html(request, body)


def html(request: Any, body: bytes) -> bytes:
    """Return the octets of an HTML answer, compressed if the browser takes that."""
    request.setHeader("Content-Type", "text/html; charset=utf-8")
    return packed(request, body)


def packed(request: Any, body: bytes) -> bytes:
    """Return the octets of an answer, compressed if that is worth it and the browser takes it."""
    request.setHeader("Vary", "Accept-Encoding")
    if len(body) < _WORTH_COMPRESSING or "gzip" not in text_of(request.getHeader(b"accept-encoding")):
        return body
    request.setHeader("Content-Encoding", "gzip")
    return compress(body)


def is_refresh(request: Any) -> bool:
    """Return whether a script asks for a part of a page."""
    return request.getHeader(b"hx-request") is not None


def redirect(request: Any, path: str) -> bytes:
    """Send a browser to another page of this site, by GET."""
    request.setResponseCode(303)
    request.setHeader("Location", path)
    return b""


def arguments(request: Any) -> Mapping[str, Sequence[str]]:
    """Return the arguments of the URL and of the form as text."""
    return {
        name.decode("utf-8", "replace"): [value.decode("utf-8", "replace") for value in values]
        for name, values in request.args.items()
    }


def argument(request: Any, name: str) -> str:
    """Return the first value of an argument, "" without one."""
    values = request.args.get(name.encode(), ())
    return values[0].decode("utf-8", "replace") if values else ""


def whole_id(text: str) -> QueueId:
    """Return the id of a message. Raises MessageNotFound."""
    try:
        to_number(QueueId(text))
    except ValueError:
        raise MessageNotFound(f"{text[:20]!r} is not the id of a message") from None
    return QueueId(text)


def own_path(text: str) -> str:
    """Return a path of this site; `/` in place of a URL of another one."""
    if not text.startswith("/") or text[1:2] in ("/", "\\") or any(ord(each) < 0x21 for each in text):
        return "/"
    return quote(text, safe="/?&=%+*<>:@,;~!$'()-._")
