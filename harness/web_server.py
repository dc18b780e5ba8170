"""A web server over HTTPS for tests, at port 443 of an address, which shares no code with the relay.

Any answer can be given, and none.
"""

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from harness.waiting import PATIENCE

_PLAIN_TEXT = {"Content-Type": "text/plain"}


@dataclass(frozen=True)
class WebRequest:
    """One request as it came; `at` is in seconds since 1970."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass
class WebAnswer:
    """An answer: any status, headers and body. It waits for `hold`, if there is one."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_PLAIN_TEXT))
    hold: threading.Event | None = None


@dataclass
class WebServer:
    """The server. A context manager; `requests` may be read, and `answer` changed, at any time."""

    #: Certificate chain and key, PEM.
    tls: tuple[str, str]
    address: str
    answer: WebAnswer = field(default_factory=WebAnswer)
    port: int = 443
    #: Whether connections are accepted and nothing more happens on them.
    silent: bool = False

    def __post_init__(self) -> None:
        self.requests: list[WebRequest] = []
        self.connections = 0
        self.broken_handshakes = 0
        #: The names that clients asked for in their handshakes (SNI).
        self.server_names: list[str | None] = []
        self.ended = threading.Event()
        self.use(self.tls)

    def use(self, tls: tuple[str, str]) -> None:
        """Show this certificate from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        context.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        self.tls, self.context = tls, context

    def answer_to(self, request: WebRequest) -> WebAnswer:
        """Record a request and return its answer."""
        self.requests.append(request)
        return self.answer

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, web: WebServer) -> None:
        self.address_family = socket.AF_INET6 if ":" in web.address else socket.AF_INET
        super().__init__((web.address, web.port), _Handler)
        self.web = web

    def server_bind(self) -> None:
        """Leave IPv4 to another server."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the thread of the connection, then serve it."""
        self.web.connections += 1
        if self.web.silent:
            self.web.ended.wait(PATIENCE)
            return
        request.settimeout(PATIENCE)
        try:
            secured = self.web.context.wrap_socket(request, server_side=True)
        except OSError:
            self.web.broken_handshakes += 1
            return
        with secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that are gone."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        request = WebRequest(self.command, self.path, dict(self.headers.items()), body, time.time())
        answer = self.server.web.answer_to(request)
        if answer.hold is not None:
            answer.hold.wait(PATIENCE)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def do_POST(self) -> None:
        """Answer one request."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
