"""Checks the password of the page and of the API, and slows down addresses that send wrong ones. Pure."""

import hashlib
import hmac
import math
from collections import OrderedDict

from mta.users.failure_limits import FailureLimits, network_key

#: Addresses whose next password is not looked at yet; of more, those that wait longest are forgotten.
MAX_WAITING = 10_000
# The page has one user, so all failures of an address count together.
_USER = "admin"


class TooManyPasswords(Exception):
    """An address has sent wrong passwords, so that its next one is not looked at for `seconds` seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        super().__init__(f"too many wrong passwords: try again in {self.seconds} s")


class PasswordGate:
    """Checks passwords in constant time. Times are seconds of a monotonic clock.

    From the fifth wrong password of an address on, its next one is looked at after 1, 2, 4 and so on up to 30 seconds;
    before that it is refused, right or wrong, because an answer would otherwise tell a guesser more.
    """

    def __init__(self, password: str) -> None:
        """An empty password is never right."""
        self._digest = _digest(password)
        self._empty = not password
        self._limits = FailureLimits()
        self._until: OrderedDict[str | bytes, float] = OrderedDict()

    def is_right(self, given: str, address: str, now: float) -> bool:
        """Return whether a password is right. Raises TooManyPasswords."""
        key = network_key(address)
        until = self._until.get(key, now)
        if until > now:
            raise TooManyPasswords(until - now)
        self._until.pop(key, None)
        if hmac.compare_digest(_digest(given), self._digest) and not self._empty:
            return True
        self._limits.failed(address, now)
        delay = self._limits.delay(address, _USER, now)
        if delay:
            self._until[key] = now + delay
            if len(self._until) > MAX_WAITING:
                self._until.popitem(last=False)
        return False


def _digest(text: str) -> bytes:
    # Digests have one length, so that the comparison does not tell that of the password.
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
