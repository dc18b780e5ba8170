"""Notices about domains, each at most once a day, for a bounded number of domains."""

from collections import OrderedDict
from collections.abc import Callable

_DAY = 86400.0
#: Domains that are remembered. One that is forgotten may get its notice again.
MAX_DOMAINS = 1000


class DomainNotices:
    """Says of which domains there has been no notice for a day."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """Prepare; `seconds` is a monotonic clock."""
        self._seconds = seconds
        self._last: OrderedDict[str, float] = OrderedDict()

    def begin(self, domain: str) -> bool:
        """Whether a notice about a domain is due; it then counts as given."""
        now = self._seconds()
        last = self._last.get(domain)
        if last is not None and now - last < _DAY:
            return False
        self._last[domain] = now
        self._last.move_to_end(domain)
        if len(self._last) > MAX_DOMAINS:
            self._last.popitem(last=False)
        return True
