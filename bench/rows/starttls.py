"""B9: STARTTLS on both sides. The limit of the tools is measured beside it, with the tunnels back to back."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.row import POSTFIX, RELAY, RELAY_X2, Bench, Figures, Goal
from bench.rows.sending import share, warm_passage
from bench.server import Place, Server
from bench.tunnel import AUTHORITY, CERTIFICATE, KEY, Tunnel, certificates

#: The two tunnels back to back.
NO_SERVER = "no server"

_RELAY = {
    "CERTIFICATE_PATH": f"@HOME@/{CERTIFICATE}",
    "KEY_PATH": f"@HOME@/{KEY}",
    "SMARTHOST_TLS": "verify",
    "SMARTHOST_CA_FILE": f"@HOME@/{AUTHORITY}",
}
# Postfix's best: without the reuse of connections it shakes hands for every message, at a third of the rate.
_POSTFIX = {
    "smtpd_tls_security_level": "may",
    "smtpd_tls_cert_file": f"@HOME@/{CERTIFICATE}",
    "smtpd_tls_key_file": f"@HOME@/{KEY}",
    "smtp_tls_security_level": "encrypt",
    "smtp_tls_connection_reuse": "yes",
}


@dataclass(frozen=True, slots=True)
class Encrypted:
    """The row."""

    name: str = "B9"
    words: str = "4 KiB, 20 sessions, reused connections, STARTTLS on both sides, end to end"
    contenders: Sequence[str] = (RELAY, RELAY_X2, POSTFIX, NO_SERVER)
    goals: Sequence[Goal] = (Goal("end-to-end/s", 2.0, against=POSTFIX),)

    def run(self, bench: Bench, contender: str) -> Figures:
        """Pass messages through a tunnel, the contender and another tunnel."""
        files, messages = certificates(), share(contender, bench.amount(4000, 1000))
        with ExitStack() as stack:
            sink = stack.enter_context(bench.sink())
            home = Place(bench.directory, bench.cache, sink.port, files).new_home("tunnels")
            stack.callback(shutil.rmtree, home, ignore_errors=True)
            server: Server | Tunnel = stack.enter_context(Tunnel(bench, home, sink.port, certificate=True))
            if contender != NO_SERVER:
                settled = bench.server(contender, server.port, relay=_RELAY, postfix=_POSTFIX, files=files)
                server = stack.enter_context(settled)
            before = stack.enter_context(Tunnel(bench, home, server.port, certificate=False))
            entrance = _Entrance(before, server)
            return warm_passage(entrance, sink, messages).figures()


class _Entrance:
    """A server as its clients see it: behind the port of a tunnel."""

    def __init__(self, tunnel: Tunnel, server: Server | Tunnel) -> None:
        self.port = tunnel.port
        self.pid = server.pid


ROW = Encrypted()
