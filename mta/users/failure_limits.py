"""Slows down and shuts out addresses that fail to log in, and never a user.

Failures are counted by client address, of IPv6 by /64. All times are seconds of a monotonic clock. The memory is
bounded: addresses are forgotten in the order of their last failure, but those with few failures make no room for those
with many, so that failures from many addresses do not erase the record of an address that is slowed down.
"""

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: Failures in DELAY_WINDOW from which on answers are late.
DELAYED_FROM = 5
DELAY_WINDOW = 600.0
#: The longest delay of an answer, in seconds.
MAX_DELAY = 30.0
#: Failures in SHUT_OUT_WINDOW that shut an address out for SHUT_OUT_SECONDS.
SHUT_OUT_FROM = 20
SHUT_OUT_WINDOW = 3600.0
SHUT_OUT_SECONDS = 3600.0
#: How long an address and a user that succeeded together have no delay.
KNOWN_SECONDS = 86400.0
#: The addresses of each kind that are remembered, and the pairs of address and user.
MAX_ADDRESSES = 10_000
MAX_PAIRS = 10_000

_V6_PREFIX_OCTETS = 8


class _Recent(Generic[Value]):
    """A table of bounded size that forgets the entry which was put longest ago."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[object, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: object) -> Value | None:
        return self._entries.get(key)

    def pop(self, key: object) -> Value | None:
        return self._entries.pop(key, None)

    def put(self, key: object, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class FailureLimits:
    """Counts failed logins. One object serves all sessions of a process."""

    def __init__(self, is_trusted: Callable[[str], bool] = lambda _address: False) -> None:
        """`is_trusted` tells whether an address is of a trusted network, which is counted, but not shut out."""
        self._is_trusted = is_trusted
        # The times of the failures, oldest first, of addresses without and with delays.
        self._few: _Recent[deque[float]] = _Recent(MAX_ADDRESSES)
        self._many: _Recent[deque[float]] = _Recent(MAX_ADDRESSES)
        # The ends of the times out.
        self._out: _Recent[float] = _Recent(MAX_ADDRESSES)
        # The times of the last successes.
        self._known: _Recent[float] = _Recent(MAX_PAIRS)

    def __len__(self) -> int:
        """Return the number of addresses and pairs in memory."""
        return len(self._few) + len(self._many) + len(self._out) + len(self._known)

    def delay(self, address: str, user: str, now: float) -> float:
        """Return the seconds by which the answer to a login must be late: 0, or 1, 2, 4 and so on up to MAX_DELAY.

        For a login that failed, call `failed` before, so that its failure counts.
        """
        key = network_key(address)
        times = self._many.get(key)
        if times is None:
            return 0.0
        known = self._known.get((key, user))
        if known is not None and now - known < KNOWN_SECONDS:
            return 0.0
        count = sum(now - time < DELAY_WINDOW for time in times)
        if count < DELAYED_FROM:
            return 0.0
        return float(min(MAX_DELAY, 1 << (count - DELAYED_FROM)))

    def failed(self, address: str, now: float) -> None:
        """Count a failed login."""
        key = network_key(address)
        times = self._few.pop(key) or self._many.pop(key) or deque(maxlen=SHUT_OUT_FROM)
        while times and now - times[0] >= SHUT_OUT_WINDOW:
            times.popleft()
        times.append(now)
        if len(times) == SHUT_OUT_FROM and not self._is_trusted(address):
            self._out.put(key, now + SHUT_OUT_SECONDS)
        (self._many if len(times) >= DELAYED_FROM else self._few).put(key, times)

    def succeeded(self, address: str, user: str, now: float) -> None:
        """Remember that a user has logged in from an address. Failures of the address still count."""
        self._known.put((network_key(address), user), now)

    def shut_out(self, address: str, now: float) -> bool:
        """Whether an address must not open a session at a submission port now."""
        if not len(self._out):
            return False
        key = network_key(address)
        end = self._out.get(key)
        if end is not None and now >= end:
            self._out.pop(key)
            return False
        return end is not None


@lru_cache(maxsize=4096)
def network_key(address: str) -> str | bytes:
    """Return the network that an address is counted with: itself, or the /64 of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ip.ipv4_mapped) if ip.ipv4_mapped else ip.packed[:_V6_PREFIX_OCTETS]
