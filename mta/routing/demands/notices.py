"""Notices to the operator about hosts or domains, each at most once a day, for a bounded number of them."""

#: The number of hosts or domains that are remembered. Further ones get no notice on the same day.
MAX_NAMES = 1000
_DAY = 86400.0


class DailyNotices:
    """Decides when to tell the operator about a host or a domain: once a day. Remembers MAX_NAMES names at most."""

    def __init__(self) -> None:
        self._last_notice_at: dict[str, float] = {}

    def due(self, name: str, now: float) -> bool:
        """Whether to tell now about a name, which then counts as told; `now` is in seconds of a monotonic clock."""
        told = self._last_notice_at.get(name)
        if told is not None and now - told < _DAY:
            return False
        if told is None and len(self._last_notice_at) >= MAX_NAMES:
            self._last_notice_at = {name: at for name, at in self._last_notice_at.items() if now - at < _DAY}
            if len(self._last_notice_at) >= MAX_NAMES:
                return False
        self._last_notice_at[name] = now
        return True
