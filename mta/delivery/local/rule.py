"""How mail for our own domains is delivered: what LOCAL_DELIVERY says, as a value."""

import enum
from dataclasses import dataclass
from pathlib import Path

from mta.smtp.address import bracketed


class LocalKind(enum.Enum):
    """Into what local mail goes."""

    #: Maildirs that exist; postmaster's is made when first needed.
    MAILDIR = "maildir"
    #: Maildirs, made for any user when first needed.
    MAILDIR_CREATE = "maildir-create"
    #: A mail store that speaks LMTP (RFC 2033) and knows its users itself.
    LMTP = "lmtp"


@dataclass(frozen=True, slots=True)
class LocalRule:
    """With LMTP either `host` and `port` say where the mail store listens, or `path` names its Unix socket."""

    kind: LocalKind = LocalKind.MAILDIR
    #: A host name in lower-case ASCII or an IP address without brackets.
    host: str = ""
    port: int = 0
    path: Path | None = None

    def __str__(self) -> str:
        """Give the text that LOCAL_DELIVERY has for this rule."""
        if self.kind is not LocalKind.LMTP:
            return str(self.kind.value)
        return f"lmtp:{self.path}" if self.path else f"lmtp:{bracketed(self.host)}:{self.port}"
