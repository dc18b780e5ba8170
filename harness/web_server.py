"""A web server over HTTPS for tests, which shares no code with the relay: threads and plain sockets.

Any answer can be given, and none. A subclass makes its answers of the requests.
"""

import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl

from harness.processes import free_port
from harness.waiting import PATIENCE

_PLAIN_TEXT = {"Content-Type": "text/plain"}


@dataclass(frozen=True)
class WebRequest:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a body that is a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class WebAnswer:
    """An answer: any status, headers and body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_PLAIN_TEXT))


@dataclass
class WebServer:
    """The server. A context manager; `requests` may be read, and the answers changed, at any time."""

    #: Certificate chain and key, PEM.
    tls: tuple[str, str]
    address: str
    answer: WebAnswer = field(default_factory=WebAnswer)
    #: Without a number, a free port of loopback.
    port: int = 443
    #: Whether connections are accepted and nothing more happens on them.
    silent: bool = False
    #: The next answers, one to each request, in place of the server's own.
    answers: list[WebAnswer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.requests: list[WebRequest] = []
        self.connections = 0
        self.broken_handshakes = 0
        #: The names that clients asked for in their handshakes (SNI).
        self.server_names: list[str | None] = []
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self.use(self.tls)

    def use(self, tls: tuple[str, str]) -> None:
        """Show this certificate from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        context.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        self.tls, self.context = tls, context

    def answer_to(self, request: WebRequest) -> WebAnswer:
        """Record a request and return its answer. Requests are answered one at a time."""
        with self._lock:
            self.requests.append(request)
            return self.answers.pop(0) if self.answers else self.own_answer(request)

    def own_answer(self, request: WebRequest) -> WebAnswer:  # noqa: ARG002
        """Return `answer`. A subclass makes an answer of the request."""
        return self.answer

    def __enter__(self) -> Self:
        self.port = self.port or free_port()
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
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        answer = self.server.web.answer_to(WebRequest(self.command, self.path, dict(self.headers.items()), body))
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
