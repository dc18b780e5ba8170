"""Mail that goes in clear although the host offers TLS: notices about it, and hosts that refuse it for that."""

import re

from mta.routing.route import Route
from mta.smtp.replies import Reply

#: Hosts that are remembered. Mail for further hosts of the same day tells of it in its `delivered` line alone.
MAX_HOSTS = 1000
_DAY = 86400.0
#: Characters of a reason: some are a server's words.
_MAX_REASON = 200
_UNPROTECTED = re.compile(r"none\((.*)\)", re.DOTALL)
# Hosts that demand TLS say 530 (RFC 3207 section 4), 5.7.10 (RFC 5248), or these words with some other code.
_DEMANDS_TLS = re.compile(
    r"\bstarttls\b|\b(?:tls|encryption)\b.{0,40}\b(?:required|needed)\b|\brequires?\b.{0,40}\b(?:tls|encrypt)",
    re.IGNORECASE,
)


class ClearTextNotices:
    """Chooses when an operator is told that a host gets its mail in clear. Bounded by MAX_HOSTS."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def text(self, route: Route, reason: str, now: float) -> str | None:
        """Return the notice for mail that goes this way; None when the host had one less than a day ago.

        `now` is in seconds of a clock that only goes forward.
        """
        told = self._told.get(route.host)
        if told is not None and now - told < _DAY:
            return None
        if told is None and len(self._told) >= MAX_HOSTS:
            self._told = {host: at for host, at in self._told.items() if now - at < _DAY}
            if len(self._told) >= MAX_HOSTS:
                return None
        self._told[route.host] = now
        sent = "mail and password go" if route.credentials is not None else "mail goes"
        return f"{sent} to {route.label} in clear, though it offers STARTTLS: {reason}. Told once a day for each host"


def unprotected(reason: str) -> str:
    """Return `none(<reason>)`, the protection of a connection that is in clear although the host offers STARTTLS."""
    return f"none({reason})"


def without_tls(reply: Reply, security: str) -> str:
    """Return why a 5yz reply is not final: the host demands TLS, which failed just now; "" for every other reply.

    `security` is the protection of the connection that the reply came over.
    """
    failed = _UNPROTECTED.fullmatch(security)
    if failed is None:
        return ""
    demands = reply.code == 530 or reply.status == "5.7.10" or _DEMANDS_TLS.search(reply.text)
    return f"the host demands TLS, and TLS with it failed: {failed[1]}; mail stays queued" if demands else ""


def brief(reason: str) -> str:
    """Return a reason as it is told, cut where it is too long."""
    return reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}..."
