"""The rules of a listening port: whether its clients must log in, and whether TLS begins with the first octet."""

import socket
from dataclasses import dataclass, field

from mta.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class PortRule:
    """The rule of one port. `setting` names the setting that opens it."""

    setting: str
    #: Whether clients must log in before they may send, those of trusted networks as well.
    login_required: bool = False
    #: Whether TLS begins with the first octet (RFC 8314 section 3), and not after STARTTLS.
    implicit_tls: bool = False

    def refusal(self, reply: Reply) -> bytes:
        """Return the octets that refuse a client before its session: none where it expects TLS and not a reply."""
        return b"" if self.implicit_tls else reply.wire


#: The port that is open to every client.
RELAY_PORT = PortRule("PORT")
SUBMISSION_PORT = PortRule("SUBMISSION_PORT", login_required=True)
SUBMISSION_TLS_PORT = PortRule("SUBMISSION_TLS_PORT", login_required=True, implicit_tls=True)


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A bound and listening socket, with the rule of its port."""

    socket: socket.socket
    rule: PortRule
    #: The IP address and the port, which are known after the socket is closed, too.
    address: tuple[str, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Ask the socket for its address."""
        host, port = self.socket.getsockname()[:2]
        object.__setattr__(self, "address", (str(host), int(port)))
