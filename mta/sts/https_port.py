"""Tells whether port 443 of the Internet seems closed, as a firewall for mail servers may have it."""

#: Policy hosts in a row that take no connection until the port seems closed.
MOST_FAILURES = 3
#: Seconds for which no mail waits for a policy then.
CLOSED_SECONDS = 300.0


class HttpsPort:
    """The result of connections to policy hosts. `now` is a monotonic time in seconds."""

    def __init__(self) -> None:
        """Begin with a port that is not known to be closed."""
        self._failed: set[str] = set()
        self._closed_until = float("-inf")

    def seems_closed(self, now: float) -> bool:
        """Whether no mail is to wait for a connection now."""
        return now < self._closed_until

    def connected(self) -> None:
        """Note that a policy host took a connection."""
        self._failed.clear()
        self._closed_until = float("-inf")

    def failed(self, domain: str, now: float) -> bool:
        """Note that the policy host of a domain took no connection; return whether an operator should be told now.

        Only the failure that makes the port seem closed is told, until a policy host takes a connection again.
        """
        known = len(self._failed) >= MOST_FAILURES
        if not known:
            self._failed.add(domain)
        if len(self._failed) < MOST_FAILURES:
            return False
        self._closed_until = now + CLOSED_SECONDS
        return not known
