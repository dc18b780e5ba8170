"""All routes of the page, and its answers to errors. Imported for the first browser, because klein is large."""

from typing import Any

from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException

from mta.admin.page.access import WrongForm, WrongPassword
from mta.admin.page.front import Front, NotLoggedIn, PageParts, argument, html, is_refresh, own_path, redirect
from mta.admin.page.ordering import OrderRoutes
from mta.admin.page.passwords import TooManyPasswords
from mta.admin.page.reading import ReadingRoutes
from mta.admin.page.site import text_of
from mta.admin.state import NotRunning, StateError, TooMany
from mta.explain.destination.page import NoDestination
from mta.explain.message.page import MessageNotFound
from mta.queue.search.reading import ConditionError

_log = Logger()

_KEEP = "private, max-age=31536000, immutable"
#: The status and the title of the answer to each error; the first that fits counts.
_ANSWERS: tuple[tuple[type[Exception], int, str], ...] = (
    (MessageNotFound, 404, "No such message"),
    (NoDestination, 404, "No such destination"),
    (ConditionError, 400, "A condition is wrong"),
    (TooMany, 503, "Too much at once"),
    (NotRunning, 503, "The relay does not run"),
    (StateError, 409, "This cannot be done"),
    (WrongForm, 403, "This form is refused"),
)


def page_resource(parts: PageParts) -> IResource:
    """Return the page."""
    front = Front(parts)
    app = Klein()
    ReadingRoutes(front).add_to(app)
    OrderRoutes(front).add_to(app)
    LoginRoutes(front).add_to(app)
    errors = Errors(front)
    handlers: tuple[tuple[Any, Any], ...] = (
        ((NotLoggedIn,), errors.log_in_first),
        (tuple(kind for kind, _, _ in _ANSWERS), errors.known),
        ((HTTPException,), errors.of_http),
        ((Exception,), errors.fault),
    )
    for kinds, handler in handlers:
        app.handle_errors(*kinds)(handler)
    return app.resource()


class LoginRoutes:
    """Login, logout, and the files that a login needs too."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def add_to(self, app: Klein) -> None:
        """Add the routes to an app."""
        app.route("/login", methods=["GET"])(self.form)
        app.route("/login", methods=["POST"])(self.log_in)
        app.route("/logout", methods=["POST"])(self.log_out)
        app.route("/static/<digest>/<path:name>", methods=["GET"])(self.file)
        app.route("/favicon.ico", methods=["GET"])(self.icon)

    def form(self, request: Any) -> bytes:
        """Show the login."""
        browser = self._front.browser(request)
        following = own_path(argument(request, "next") or "/")
        return redirect(request, following) if browser.logged_in else self._form(request, following, "")

    def _form(self, request: Any, following: str, problem: str) -> bytes:
        browser = self._front.browser(request)
        return self._front.page(request, browser, "login", "", next=following, problem=problem)

    def log_in(self, request: Any) -> bytes:
        """Check the password, and begin a session."""
        browser = self._front.browser(request)
        following = own_path(argument(request, "next") or "/")
        address = request.getClientAddress().host
        try:
            self._front.check_form(request, browser)
            cookie = self._front.access.log_in(argument(request, "password"), address, self._front.now())
        except WrongPassword:
            request.setResponseCode(403)
            return self._form(request, following, "This is not the password.")
        except WrongForm as error:
            request.setResponseCode(403)
            return self._form(request, following, f"{error}".capitalize() + ".")
        except TooManyPasswords as error:
            request.setResponseCode(429)
            request.setHeader("Retry-After", str(error.seconds))
            return self._form(request, following, f"{error}".capitalize() + ".")
        request.responseHeaders.setRawHeaders(b"Set-Cookie", [cookie.encode()])
        return redirect(request, following)

    def log_out(self, request: Any) -> bytes:
        """End the session."""
        browser = self._front.writer(request)
        request.responseHeaders.setRawHeaders(b"Set-Cookie", [self._front.access.log_out(browser).encode()])
        return redirect(request, "/login")

    def file(self, request: Any, digest: str, name: str) -> bytes:
        """Answer with a file of the page, which a browser keeps."""
        file = self._front.parts.templates.files.get(name)
        if file is None or digest != self._front.parts.templates.digest:
            request.setResponseCode(404)
            request.setHeader("Content-Type", "text/plain; charset=utf-8")
            return b"there is no such file\n"
        request.setHeader("Content-Type", file.content_type)
        request.setHeader("Cache-Control", _KEEP)
        request.setHeader("Vary", "Accept-Encoding")
        if "gzip" not in text_of(request.getHeader(b"accept-encoding")):
            return file.content
        request.setHeader("Content-Encoding", "gzip")
        return file.compressed

    def icon(self, request: Any) -> bytes:
        """Send a browser that asks for an icon by its old name to the file."""
        return redirect(request, f"/static/{self._front.parts.templates.digest}/icon.svg")


class Errors:
    """Answers to errors."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def log_in_first(self, request: Any, _: Failure) -> bytes:
        """Send a browser to the login; a script and a form are told that they may not."""
        if request.method == b"GET" and not is_refresh(request):
            path = own_path(request.uri.decode("ascii", "replace"))
            following = "" if path == "/" else f"?next={_quoted(path)}"
            return redirect(request, f"/login{following}")
        request.setResponseCode(403)
        return html(request, b"<p>Sign in first: <a href=/login>sign in</a>.</p>")

    def known(self, request: Any, failure: Failure) -> bytes:
        """Show an error that tells the user a remedy."""
        status, title = next((status, title) for kind, status, title in _ANSWERS if failure.check(kind))
        return self._problem(request, status, title, f"{failure.value}")

    def of_http(self, request: Any, failure: Failure) -> bytes:
        """Show an error of the path or of the method."""
        error = failure.value
        assert isinstance(error, HTTPException)
        if error.code == 405:
            request.setHeader("Allow", "GET, HEAD")
        return self._problem(request, error.code or 400, error.name, "There is no such page, or not by this method.")

    def fault(self, request: Any, failure: Failure) -> bytes:
        """Log a bug, and show that there was one."""
        _log.failure("the page cannot be answered", failure)
        return self._problem(request, 500, "The page has a bug", "The log of the relay has the reason.")

    def _problem(self, request: Any, status: int, title: str, text: str) -> bytes:
        request.setResponseCode(status)
        browser = self._front.browser(request)
        if not browser.logged_in:
            return html(request, b"<!doctype html><title>Error</title><p>Sign in first: <a href=/login>sign in</a>.")
        words = text[:1].upper() + text[1:]
        return self._front.page(request, browser, "problem", "", title=title, text=words, back="/")


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("&", "%26").replace("?", "%3F").replace("#", "%23").replace("+", "%2B")
