"""The rules by which a sink answers, and its records of logins and messages."""

import re
import threading
from dataclasses import dataclass


@dataclass
class Rule:
    """Answers `verb` in its own way: the first rule that fits decides.

    Verbs are CONNECT, those of SMTP, and "." for the end of the data. `match` is sought in the argument, `times` bounds
    how often the rule answers. `reply` None closes the connection without a word, as does `close` after the reply.
    The answer waits for `hold`, if there is one.
    """

    verb: str
    reply: str | None = None
    match: str = ""
    times: int | None = None
    close: bool = False
    hold: threading.Event | None = None


@dataclass(frozen=True)
class Login:
    """One attempt at AUTH as it came."""

    mechanism: str
    user: str
    #: A password, or a token; "" where the mechanism shows neither.
    password: str
    accepted: bool
    tls: bool
    #: Each response of the client without its base64.
    responses: tuple[bytes, ...] = ()
    #: The common name of the client's certificate, or "".
    certificate: str = ""


@dataclass(frozen=True)
class Message:
    """One message as it came. Sender and recipients are without their brackets, parameters as written."""

    sender: str
    recipients: tuple[str, ...]
    mail_parameters: str
    rcpt_parameters: tuple[str, ...]
    content: bytes
    tls: bool
    #: The user who had logged in, or "".
    user: str
    helo: str
    #: Which connection brought it, counted from 1.
    connection: int
    #: DATA or BDAT.
    verb: str
    #: The common name of the client's certificate, or "".
    certificate: str = ""

    def header(self, name: str) -> str | None:
        """Return the value of the first header field of this name, unfolded."""
        head = self.content.split(b"\r\n\r\n", 1)[0].decode("utf-8", "surrogateescape")
        found = re.search(rf"^{re.escape(name)}:[ \t]*([^\r]*(?:\r\n[ \t][^\r]*)*)", head, re.IGNORECASE | re.MULTILINE)
        return re.sub(r"\r\n[ \t]+", " ", found.group(1)) if found else None

    @property
    def without_trace(self) -> bytes:
        """The content without the Received fields at its top, as the client had sent it."""
        rest = self.content
        while found := re.match(rb"Received:.*\r\n(?:[ \t].*\r\n)*", rest, re.IGNORECASE):
            rest = rest[found.end() :]
        return rest
