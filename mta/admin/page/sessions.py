"""Sessions of browsers: their cookie, their end, and the tokens that forms carry against forged requests. Pure."""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict

#: Sessions at the same time; of more, the one that was used longest ago ends.
MAX_SESSIONS = 100
#: Seconds after which a session ends if it is not used, and in any case.
IDLE_SECONDS = 12 * 3600.0
MAX_SECONDS = 7 * 86400.0

_ID = re.compile(r"[A-Za-z0-9_-]{43}")
_PAIR = re.compile(r"\s*([^=;\s]+)=([^;]*)")


class Sessions:
    """The browsers that have logged in. Times are seconds of a monotonic clock.

    Each browser has an id in a cookie, before its login too. The token of its forms is a keyed digest of that id, so
    that a browser that has not logged in needs no entry here.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        """`secret` keys the tokens of forms; a random one by default."""
        self._secret = secret or secrets.token_bytes(32)
        # When each session began and was used last, in the order of their last use.
        self._logged_in: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of sessions that are kept."""
        return len(self._logged_in)

    def begin(self, now: float) -> str:
        """Return the id of a new session that has logged in."""
        id = new_id()
        self._logged_in[id] = now, now
        if len(self._logged_in) > MAX_SESSIONS:
            self._logged_in.popitem(last=False)
        return id

    def use(self, id: str, now: float) -> bool:
        """Return whether a session has logged in and lasts, and take note that it is used."""
        if not self.lasts(id, now):
            self.end(id)
            return False
        self._logged_in[id] = self._logged_in[id][0], now
        self._logged_in.move_to_end(id)
        return True

    def lasts(self, id: str, now: float) -> bool:
        """Return whether a session has logged in and lasts, which does not count as a use."""
        began, used = self._logged_in.get(id, (-MAX_SECONDS, 0.0))
        return now - used < IDLE_SECONDS and now - began < MAX_SECONDS

    def end(self, id: str) -> None:
        """End a session."""
        self._logged_in.pop(id, None)

    def form_token(self, id: str) -> str:
        """Return the token that the forms of a browser carry."""
        return hmac.new(self._secret, id.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, id: str, token: str) -> bool:
        """Return whether a form was made for this browser."""
        return hmac.compare_digest(self.form_token(id).encode(), token.encode(errors="replace"))


def new_id() -> str:
    """Return a random id for a browser."""
    return secrets.token_urlsafe(32)


def cookie_name(port: int, *, secure: bool) -> str:
    """Return the name of the cookie. A browser sends the cookies of a host to all of its ports, hence the port."""
    return f"{'__Host-' if secure else ''}smtprelay-{port}"


def cookie_id(header: str, name: str) -> str:
    """Return the id of a header Cookie, or "" if it has none of this name and form."""
    for found, value in _PAIR.findall(header[:8192]):
        if found == name and _ID.fullmatch(value.strip()):
            return str(value.strip())
    return ""


def set_cookie(name: str, id: str, *, secure: bool) -> str:
    """Return the header Set-Cookie for an id; "" as the id deletes the cookie."""
    end = "" if id else "; Max-Age=0"
    return f"{name}={id}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}{end}"
