"""A relay with submission ports, and clients that speak to them line by line."""

import base64
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.certificates import authority
from harness.daemon import Daemon
from harness.processes import free_port
from harness.sink import Sink
from tests.endtoend.wire import Wire
from tests.endtoend.world import World
from tests.programs.mail_clients import Server

NAME = "relay.example.test"
ROOT = authority()
TRUSTING = ssl.create_default_context(cadata=ROOT.certificate_pem.decode())
#: An address that the relay does not trust, and two more.
STRANGER, SECOND, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"


@dataclass(frozen=True)
class Submission:
    """A relay, and its ports as clients need them."""

    relay: Daemon
    starttls: Server
    implicit: Server

    @property
    def servers(self) -> tuple[Server, Server]:
        """The port with STARTTLS, and the port that begins with TLS."""
        return self.starttls, self.implicit

    def in_tls(self, source: str = "127.0.0.1", name: str = "client.test") -> "TlsWire":
        """Return a client that has sent EHLO inside of TLS."""
        wire = TlsWire(self.implicit.port, source)
        wire.say(f"EHLO {name}\r\n".encode())
        return wire


def in_clear_users(passwords: Mapping[str, str]) -> str:
    """Return a file of users with passwords in clear, which cost no time to check."""
    return "".join(f"{user}:{{PLAIN}}{password}\n" for user, password in passwords.items())


def certificate(folder: Path, name: str = "server") -> dict[str, str]:
    """Return the settings of a certificate that the clients trust."""
    chain, key = ROOT.leaf([NAME, "localhost"], ["127.0.0.1"]).write(folder, name)
    return {"CERTIFICATE_PATH": str(chain), "KEY_PATH": str(key)}


def users_file(world: World, users: str) -> Path:
    """Write the file of users."""
    file = world.home / "users"
    file.write_text(users)
    file.chmod(0o600)
    return file


def submission(world: World, sink: Sink, users: str, **settings: Any) -> Submission:
    """Return a running relay with both ports of submission and these lines of users."""
    starttls, implicit = free_port(), free_port()
    relay = world.relay(
        sink,
        **{
            "SUBMISSION_PORT": str(starttls),
            "SUBMISSION_TLS_PORT": str(implicit),
            "AUTH_USERS_FILE": str(users_file(world, users)),
            **certificate(world.home),
            **settings,
        },
    )
    trusted = ROOT.write(world.home)
    return Submission(relay, Server(starttls, trusted), Server(implicit, trusted, "implicit"))


def plain(user: str, password: str) -> bytes:
    """Return the AUTH command of PLAIN with its response."""
    return b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()) + b"\r\n"


class TlsWire(Wire):
    """A client that sends any octets behind the handshake of a port that begins with TLS."""

    def connected(self, plain: socket.socket) -> socket.socket:
        """Shake hands."""
        return TRUSTING.wrap_socket(super().connected(plain), server_hostname="localhost")
