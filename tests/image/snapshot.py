"""A stand-in for snapshot.debian.org, which leads to today's mirror.

It has Debian's release in place of all updates, because a mirror may have no updates for some architectures.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.image.base import mirror

#: The date that the tests ask for.
DATE = "20261129T000000Z"


@contextmanager
def snapshot_host() -> Iterator[str]:
    """Run the host and give its URL."""
    debian = mirror().removesuffix("/")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = re.fullmatch(rf"/archive/debian(?:-security)?/{DATE}/(.*)", self.path)
            self.send_response(302 if asked else 404)
            if asked:
                path = re.sub("^dists/trixie-(updates|security)/", "dists/trixie/", asked[1])
                self.send_header("Location", f"{debian}/{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing, because the output is that of the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
