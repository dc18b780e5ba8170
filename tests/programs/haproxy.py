"""A HAProxy before a relay, with a configuration of its own. It connects from BALANCER, as if from another host."""

import csv
import io
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from harness.processes import Child, find_program, free_port
from harness.waiting import until

#: The address of the load balancer.
BALANCER = "127.0.0.3"

_COMMON = """\
global
  stats socket {home}/stats
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 5s
"""
_PROXY = """\
listen {name}
  bind 127.0.0.1:{front}
  bind ::1:{front}
  source {balancer}
  server relay 127.0.0.1:{back} {options}
"""
_CHECKED = """\
backend checked-{name}
  {check}
  source {balancer}
  server relay 127.0.0.1:{back} {options} check check-send-proxy inter 20ms fall 1 rise 1
"""


def why_not() -> str | None:
    """Return why no HAProxy can be started here, or None if one can."""
    return None if find_program("haproxy") else "haproxy is not installed"


class Haproxy:
    """Listens on a port of 127.0.0.1 and ::1 for each backend: `backends` has their ports and server options by name.

    With `checks` it also checks each backend without cease: by a connection, and by `option smtpchk`.
    """

    def __init__(self, home: Path, backends: Mapping[str, tuple[int, str]], *, checks: bool = False) -> None:
        home.mkdir()
        #: The ports to connect to, by the names of the backends.
        self.ports = {name: free_port() for name in backends}
        self._stats = home / "stats"
        text = _COMMON.format(home=home)
        for name, (back, options) in backends.items():
            words = {"balancer": BALANCER, "back": back, "options": options}
            text += _PROXY.format(name=name, front=self.ports[name], **words)
            if checks:
                text += _CHECKED.format(name=name, check="option tcp-check", **words)
                text += _CHECKED.format(name=f"{name}-smtp", check="option smtpchk EHLO [127.0.0.3]", **words)
        configuration = home / "haproxy.cfg"
        configuration.write_text(text)
        program = find_program("haproxy")
        assert program is not None
        self.child = Child([program, "-db", "-f", str(configuration)], home / "log")

    def __enter__(self) -> Self:
        self.child.start()
        until(lambda: self._stats.exists() or not self.child.running, what="HAProxy's start")
        assert self.child.running, self.child.text
        return self

    def __exit__(self, *exc: object) -> None:
        # An ordinary end would wait for the connections that are open.
        if self.child.running:
            self.child.kill()

    def checks(self) -> dict[str, tuple[str, int]]:
        """Return the result of the last check of each checked backend, and the number of checks that failed."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(self._stats))
            stats.sendall(b"show stat\n")
            text = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
        rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
        return {
            row["pxname"].removeprefix("checked-"): (row["check_status"].removeprefix("* "), int(row["chkfail"]))
            for row in rows
            if row["svname"] == "relay" and row["pxname"].startswith("checked-")
        }
