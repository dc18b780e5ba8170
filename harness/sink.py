"""A mail server for tests, which shares no code with the relay: threads and plain sockets.

It records every message octet for octet, answers by its rules, and is strict where the relay must not make a mistake: a
bare CR or LF, a line over 998 octets, an unstuffed dot or anything sent in clear behind STARTTLS is a fault.
"""

import socket
import ssl
import threading
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from harness.exporting_socket import ExportingSocket
from harness.processes import free_port
from harness.sink_rules import Login, Message, Rule
from harness.sink_session import Session
from harness.sink_wire import GoneError

EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES")


@dataclass
class Sink:
    """The server. A context manager; `messages`, `logins`, `faults` and `connections` may be read at any time."""

    rules: list[Rule] = field(default_factory=list)
    extensions: tuple[str, ...] = EXTENSIONS
    #: Certificate chain and key, PEM. STARTTLS is offered when given, unless `implicit` makes TLS come first.
    tls: tuple[str, str] | None = None
    implicit: bool = False
    #: A PEM file. Clients may show a certificate that this authority has signed, or must with `certificate_required`.
    client_authority: str | None = None
    certificate_required: bool = False
    #: Passwords by user, and the tokens that XOAUTH2 and OAUTHBEARER accept. Without any, only EXTERNAL is offered.
    users: dict[str, str] = field(default_factory=dict)
    tokens: Container[str] | None = None
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN", "CRAM-MD5")
    name: str = "sink.example.test"
    address: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        self.messages: list[Message] = []
        self.logins: list[Login] = []
        self.faults: list[str] = []
        self.connections = 0
        #: The names that clients asked for in their handshakes (SNI).
        self.server_names: list[str | None] = []
        #: How many answers were held back so far.
        self.waiting = 0
        self.open_connections: set[socket.socket | ExportingSocket] = set()
        self.lock = threading.Lock()
        self.context: ssl.SSLContext | None = None
        if self.tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*self.tls)
            self.context.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        if self.context is not None and self.client_authority is not None:
            self.context.load_verify_locations(self.client_authority)
            self.context.verify_mode = ssl.CERT_REQUIRED if self.certificate_required else ssl.CERT_OPTIONAL

    @property
    def offers_login(self) -> bool:
        """Whether EHLO names mechanisms."""
        return bool(self.users) or self.tokens is not None or "EXTERNAL" in self.mechanisms

    def __enter__(self) -> Self:
        # Not one that the kernel gives to clients: a test may close the sink and open it again.
        self.port = self.port or free_port()
        self._listener = socket.create_server((self.address, self.port), backlog=512)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and hang up on everyone; harmless the second time."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        self._listener.close()
        self._thread.join()
        with self.lock:
            for connection in self.open_connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def rule_for(self, verb: str, argument: str) -> Rule | None:
        """Return the rule that decides and count it down."""
        with self.lock:
            for rule in self.rules:
                if rule.verb == verb and rule.match in argument and rule.times != 0:
                    if rule.times is not None:
                        rule.times -= 1
                    return rule
        return None

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                number = self.connections
                self.open_connections.add(connection)
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        session = Session(self, connection, number)
        try:
            session.run()
        except (GoneError, OSError):
            pass
        finally:
            with self.lock:
                self.open_connections.discard(connection)
            session.close()
