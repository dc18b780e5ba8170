"""STARTTLS for smtp-source and smtp-sink, which do not speak it: Debian's stunnel before and behind a server."""

from pathlib import Path
from typing import Self

from bench.debian import command_in, end, folder_with, start_server
from bench.row import Bench
from harness.certificates import authority
from harness.processes import free_port

#: The name that the certificate of `certificates` proves, beside 127.0.0.1.
NAME = "tunnel.example.test"
CERTIFICATE, KEY, AUTHORITY = "server.pem", "server.key", "authority.pem"

_USUAL = """\
foreground = yes
pid =
syslog = no
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
"""
_SERVICE = """\
[tunnel]
protocol = smtp
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{target}
"""


def certificates() -> dict[str, bytes]:
    """Make a certificate for 127.0.0.1 and NAME, its key, and the authority that signed it, by file name."""
    root = authority()
    leaf = root.leaf([NAME], ["127.0.0.1"])
    return {CERTIFICATE: leaf.certificate_pem, KEY: leaf.key_pem, AUTHORITY: root.certificate_pem}


class Tunnel:
    """One stunnel. With a certificate it takes STARTTLS and speaks plainly to `target`; without, the other way round.

    Entering starts it and waits until the greeting of the server on `target` comes through. Raises LeftOut if stunnel
    cannot be had.
    """

    def __init__(self, bench: Bench, home: Path, target: int, *, certificate: bool) -> None:
        """`home` is an own folder below the bench's directory, with the files of `certificates` in it if needed."""
        self.port = free_port()
        self._bench = bench
        self._home = home
        self._target = target
        self._certificate = certificate

    def __enter__(self) -> Self:
        debian = folder_with(self._bench.cache, "stunnel4")
        file = self._home / f"stunnel-{self.port}.conf"
        file.write_text(self._configuration())
        here = self._bench.directory
        command = command_in(debian, ["stunnel4", str(file)], {here: here})
        self._process = start_server("stunnel", command, self.port, file.with_suffix(".log"))
        return self

    @property
    def pid(self) -> int:
        """The process that all others of it descend from."""
        return self._process.pid

    def __exit__(self, *exc: object) -> None:
        end(self._process)

    def _configuration(self) -> str:
        side = (
            f"cert = {self._home / CERTIFICATE}\nkey = {self._home / KEY}\n" if self._certificate else "client = yes\n"
        )
        return _USUAL + _SERVICE.format(port=self.port, target=self._target) + side
