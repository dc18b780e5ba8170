"""A browser in memory: the page over a queue, asked without sockets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from mta.admin.page.access import Access
from mta.admin.page.asking import Asking
from mta.admin.page.front import PageParts
from mta.admin.page.programs import ProgramPaths
from mta.admin.page.rendering import SiteData, Templates
from mta.admin.page.routes import page_resource
from mta.admin.page.site import Guarded, PageSite
from mta.admin.state import RelayState
from mta.explain.destination.explaining import explain_destination
from mta.explain.destination.page import DestinationPage
from mta.explain.message.explaining import explain_message
from mta.explain.message.page import MessagePage

#: Made once, because that takes a while.
TEMPLATES = Templates()
HOST = "relay.example.org:8025"
CLIENT = "192.0.2.7"
_TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')
_PLAN = re.compile(r'name="plan" value="([^"]+)"')


@dataclass
class Answer:
    """An answer: its status, headers in lower case, and text."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def token(self) -> str:
        found = _TOKEN.search(self.text)
        return "" if found is None else found[1]

    @property
    def plan(self) -> str:
        found = _PLAN.search(self.text)
        assert found is not None, self.text
        return found[1]

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


class Transport(StringTransport):
    """The transport of a client with an address."""

    def __init__(self, address: str) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", address, 40000))
        self.aborted = False

    def abortConnection(self) -> None:  # noqa: N802  Twisted names it
        self.aborted = True


class PageUnderTest:
    """The page of a relay."""

    def __init__(self, state: RelayState, now: float, password: str = "", address: str = "") -> None:
        self.clock = Clock()
        self.now = now
        names = ["relay.example.org"]
        self.access = Access(address or ("" if password else "127.0.0.1"), 8025, password, https=False, names=names)

        async def explain(id: str) -> MessagePage:
            return await explain_message(id, state, None, now)

        async def destination(name: str) -> DestinationPage:
            return await explain_destination(name, state, None, now)

        site = SiteData("relay.example.org", "1.2.3", bool(password))
        asking = Asking(state, self.clock, lambda: now)
        parts = PageParts(asking, self.access, TEMPLATES, site, explain, destination, self.clock)
        programs = ProgramPaths(self.access, state, self.clock, lambda: now)
        self.site = PageSite(Guarded(page_resource(parts), self.access.host_problem, programs), self.clock)
        self.site.startFactory()


class MemoryBrowser:
    """Sends requests to the page, and keeps its cookie."""

    def __init__(self, page: PageUnderTest, client: str = CLIENT) -> None:
        self.page = page
        self.client = client
        self.cookies: dict[str, str] = {}

    def open(self, method: str, path: str, body: bytes = b"", **headers: str) -> Transport:
        """Send a request, and return the transport with the octets of the answer so far."""
        channel: Any = self.page.site.buildProtocol(None)
        transport = Transport(self.client)
        channel.makeConnection(transport)
        fields = {"Host": HOST, "Connection": "close", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if self.cookies:
            fields.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if body:
            fields.setdefault("Content-Type", "application/x-www-form-urlencoded")
            fields["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        channel.dataReceived("\r\n".join(lines).encode("utf-8", "surrogateescape") + body)
        self.page.clock.advance(0)
        transport.channel = channel  # type: ignore[attr-defined]
        return transport

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        answer = parsed(self.open(method, path, body, **headers).value())
        for line in answer.headers.get("set-cookie", "").splitlines():
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Answer:
        return self.ask("POST", path, urlencode(form).encode() or b"x=", **(headers or {}))

    def log_in(self, password: str, following: str = "/") -> Answer:
        form = self.get("/login")
        return self.post("/login", token=form.token, password=password, next=following)


def parsed(octets: bytes) -> Answer:
    """Return the answer in these octets."""
    head, _, body = octets.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        name = name.lower()
        headers[name] = f"{headers[name]}\n{value}" if name in headers else value
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Answer(int(first.split()[1]), headers, body.decode("utf-8", "replace"))


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        octets = int(size or b"0", 16)
        if not octets:
            break
        whole += rest[:octets]
        body = rest[octets + 2 :]
    return whole
