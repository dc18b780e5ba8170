"""The value of LOCAL_DELIVERY: how mail for local domains is delivered."""

import enum
from dataclasses import dataclass
from pathlib import Path

from mta.smtp.address import bracketed


class LocalKind(enum.Enum):
    """The place where local mail is delivered."""

    #: Existing Maildirs; only postmaster's is created at its first delivery.
    MAILDIR = "maildir"
    #: Maildirs, created for any user at the first delivery.
    MAILDIR_CREATE = "maildir-create"
    #: A mail store that speaks LMTP (RFC 2033) and has its own list of users.
    LMTP = "lmtp"


@dataclass(frozen=True, slots=True)
class LocalRule:
    """With LMTP the mail store listens either on `host` and `port` or on the Unix socket `path`."""

    kind: LocalKind = LocalKind.MAILDIR
    #: A host name in lower-case ASCII or an IP address without brackets.
    host: str = ""
    port: int = 0
    path: Path | None = None

    def __str__(self) -> str:
        """Return the value of LOCAL_DELIVERY for this rule."""
        if self.kind is not LocalKind.LMTP:
            return str(self.kind.value)
        return f"lmtp:{self.path}" if self.path else f"lmtp:{bracketed(self.host)}:{self.port}"
