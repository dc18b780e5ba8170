"""Decides who may open the page and use the API: host names, logins, sessions, bearer tokens, forms. Pure."""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mta.admin.page.passwords import PasswordGate
from mta.admin.page.sessions import Sessions, cookie_id, cookie_name, new_id, set_cookie

_LOCALHOST = "localhost"
_BEARER = "bearer "
# The values of Sec-Fetch-Site with which a browser tells that no other site made it send a request.
_OWN_REQUESTS = ("", "same-origin", "none")


#: Takes note of a password: the address of its sender, `page` or `token`, and whether it was right.
NoteLogin = Callable[[str, str, bool], object]


class WrongPassword(Exception):
    """The password is not the one of ADMIN_PASSWORD."""


class WrongForm(Exception):
    """A form was not made for this browser, or another site sent it; the text tells the user the remedy."""


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser as its cookie tells it."""

    id: str = field(repr=False)
    #: Whether it may see more than the login.
    logged_in: bool
    #: The token that its forms carry.
    form_token: str = field(repr=False)
    #: The header Set-Cookie that it must get, or "".
    set_cookie: str = field(repr=False)


class Access:
    """Decides for one listening page. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        address: str,
        port: int,
        password: str,
        *,
        https: bool,
        names: Iterable[str],
        note: NoteLogin = lambda _address, _mechanism, _right: None,
    ) -> None:
        """Without a password each browser on this host counts as logged in. `names` are those of the relay."""
        self._note = note
        self.needs_password = bool(password)
        self._hosts = HostNames(address, names)
        self._gate = PasswordGate(password)
        self._sessions = Sessions()
        self._https = https
        self._cookie = cookie_name(port, secure=https)

    def host_problem(self, host: str) -> str:
        """Return why a request with this header Host is refused, in words for the operator, or ""."""
        if self._hosts.allows(host):
            return ""
        return (
            f"this page is not opened by that name: use its address, or the name {self._hosts.usual()}; a proxy must"
            " send one of them as Host\n"
        )

    def browser(self, cookies: str, now: float) -> Browser:
        """Return the browser that sent this header Cookie; one without a cookie gets one."""
        id = cookie_id(cookies, self._cookie)
        header = ""
        if not id:
            id = new_id()
            header = set_cookie(self._cookie, id, secure=self._https)
        logged_in = not self.needs_password or self._sessions.use(id, now)
        return Browser(id, logged_in, self._sessions.form_token(id), header)

    def lasts(self, browser: Browser, now: float) -> bool:
        """Return whether a browser may still see more than the login, which does not count as a use of its session."""
        return not self.needs_password or self._sessions.lasts(browser.id, now)

    def check_form(self, browser: Browser, token: str, fetch_site: str) -> None:
        """Raise WrongForm unless a form came from a page of this browser. `fetch_site` is its header Sec-Fetch-Site."""
        if fetch_site.strip().lower() not in _OWN_REQUESTS:
            raise WrongForm("another site sent this form: open the page itself, and try again")
        if not self._sessions.is_form_token(browser.id, token):
            raise WrongForm("this form is out of date: go back, load the page again, and send it once more")

    def log_in(self, password: str, address: str, now: float) -> str:
        """Return the header Set-Cookie of a new session. Raises WrongPassword, TooManyPasswords."""
        right = self._gate.is_right(password, address, now)
        self._note(address, "page", right)
        if not right:
            raise WrongPassword
        return set_cookie(self._cookie, self._sessions.begin(now), secure=self._https)

    def log_out(self, browser: Browser) -> str:
        """End the session of a browser, and return the header Set-Cookie that makes it forget its id."""
        self._sessions.end(browser.id)
        return set_cookie(self._cookie, "", secure=self._https)

    def has_token(self, authorization: str, address: str, now: float) -> bool:
        """Return whether a header Authorization has the bearer token of the API. Raises TooManyPasswords."""
        if not self.needs_password or authorization[: len(_BEARER)].lower() != _BEARER:
            return False
        right = self._gate.is_right(authorization[len(_BEARER) :].strip(), address, now)
        if not right:
            # The right ones are too many for the log.
            self._note(address, "token", right)
        return right

    def may_use_api(self, authorization: str, host: str, fetch_site: str, address: str, now: float) -> bool:
        """Return whether a program may use the API: by its token, or on this host if there is no password.

        Raises TooManyPasswords.
        """
        if self.needs_password:
            return self.has_token(authorization, address, now)
        return self._hosts.allows(host) and fetch_site.strip().lower() in _OWN_REQUESTS


class HostNames:
    """The names and addresses by which one page may be opened.

    A web page of a stranger may have its name resolve to an address of this host, and would then be the same origin for
    a browser (DNS rebinding). Such a request has the stranger's name in its Host header, so other names are refused.
    """

    def __init__(self, address: str, names: Iterable[str]) -> None:
        """`address` is that of ADMIN_LISTEN, "" for all; `names` are those of the relay and of its certificate."""
        self._address = None if not address else ipaddress.ip_address(address)
        self._names = {_LOCALHOST, *(name.lower().rstrip(".") for name in names)}

    def allows(self, header: str) -> bool:
        """Return whether a request with this header Host may be answered. The port in it does not matter."""
        host = host_of(header)
        if not host:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host in self._names or f"*.{host.partition('.')[2]}" in self._names
        # No name is resolved for an address, so that a stranger's page cannot have it.
        return self._address is None or address == self._address or address.is_loopback

    def usual(self) -> str:
        """Return a name for the advice to an operator."""
        return next((name for name in sorted(self._names) if name != _LOCALHOST), _LOCALHOST)


def host_of(header: str) -> str:
    """Return the name or the address in a header Host, without its port; "" if there is none."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")
