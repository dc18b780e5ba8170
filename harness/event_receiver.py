"""A receiver of events by HTTP for tests, which shares no code with the relay: it checks each signature and counts.

It listens only while it is up, so that connections are refused before.
"""

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from harness.processes import free_port


class EventReceiver:
    """The server. A context manager; `events` may be read, and `statuses` changed, at any time."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.port = free_port()
        #: The events in the order of their arrival, with the number of the worker as `worker`.
        self.events: list[dict[str, Any]] = []
        self.batches: list[dict[str, Any]] = []
        #: The statuses of the next answers; 204 when there are none.
        self.statuses: list[int] = []
        #: Requests whose signature was wrong.
        self.forged = 0
        self.lock = threading.Lock()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """The URL of the receiver."""
        return f"http://127.0.0.1:{self.port}/events?token=not-for-the-log"

    def start(self) -> None:
        """Begin to listen."""
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def receive(self, header: str, body: bytes) -> int:
        """Take a request and return the status of its answer."""
        fields = dict(part.split("=", 1) for part in header.split(","))
        signed = fields["t"].encode() + b"." + body
        expected = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        with self.lock:
            if not hmac.compare_digest(expected, fields["v1"]):
                self.forged += 1
                return 403
            if self.statuses:
                status = self.statuses.pop(0)
                if status >= 300:
                    return status
            batch = json.loads(body)
            self.batches.append(batch)
            self.events += [{**event, "worker": batch["worker"]} for event in batch["events"]]
            return 204


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: EventReceiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", receiver.port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # noqa: N802  the name that the library asks for
        """Answer one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = cast(_Server, self.server).receiver.receive(self.headers["Smtprelay-Signature"], body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no log."""
