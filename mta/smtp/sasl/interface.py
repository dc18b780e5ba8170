"""The interface of the client's mechanisms."""

from typing import Protocol


class SaslError(ValueError):
    """The server violated the mechanism. The message says how, in words for an operator and without any secret."""


class Mechanism(Protocol):
    """The client's side of one login attempt."""

    @property
    def name(self) -> str:
        """The name in the AUTH line of EHLO."""

    @property
    def initial(self) -> bytes | None:
        """The initial response of the AUTH command (RFC 4954 section 4), or None to wait for a challenge."""

    @property
    def complete(self) -> bool:
        """Whether the server has proved all that the mechanism demands of it, so that it may accept the login."""

    @property
    def failure(self) -> str:
        """The reason for a refusal: that of the server's challenge, or that of the mechanism itself, or "".

        It is printable and has at most 100 characters.
        """

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to a challenge. Raises SaslError if the mechanism has no such challenge."""
