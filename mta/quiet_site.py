"""The web server of each HTTP face of the relay, imported late, because Twisted's web server is large."""

from typing import Any

from twisted.web.server import Site


class QuietSite(Site):
    """A site without sessions, without a log of accesses, and without tracebacks for clients."""

    noisy = False
    displayTracebacks = False  # noqa: N815  Twisted names it

    def startFactory(self) -> None:  # noqa: N802
        """Start no timer, which the site has for its log."""

    def stopFactory(self) -> None:  # noqa: N802
        """Stop no timer."""

    def log(self, request: Any) -> None:
        """Write no line."""
