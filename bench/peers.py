"""The mail servers that are measured: the relay, Postfix, and nothing at all in between.

Each runs from directories of its own on the same file system, takes mail from 127.0.0.1 and hands everything on to one
sink. None of their syncs is turned off.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Protocol

from tests.endtoend.daemon import Daemon
from tests.fakes import postfix


class Peer(Protocol):
    """A mail server that can be measured."""

    name: str
    port: int

    def start(self) -> None:
        """Start and wait until it greets."""

    def stop(self) -> None:
        """Stop and remove what it kept."""

    def waiting(self) -> int:
        """Return how many messages are still in its queue."""


class Relay:
    """The checkout's own daemon, in smarthost mode, with its defaults otherwise."""

    name = "smtprelay"

    def __init__(self, parent: Path, sink_port: int) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="smtprelay-", dir=parent))
        self.daemon = Daemon(
            self._home,
            LOG_FORMAT="text",
            SMARTHOST_ADDRESS="127.0.0.1",
            SMARTHOST_PORT=str(sink_port),
            SMARTHOST_TLS="none",
        )
        self.port = self.daemon.port

    def start(self) -> None:
        """Start and wait until it greets. Raises RuntimeError with its last words."""
        try:
            self.daemon.start()
        except RuntimeError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop and remove what it kept."""
        if self.daemon.child.running:
            self.daemon.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def waiting(self) -> int:
        """Return how many messages are still in its queue, asked for beside the daemon."""
        return len(self.daemon.queue())


class Postfix:
    """Postfix as it comes, with every limit lifted that would hold it back in this measurement."""

    name = "postfix"

    def __init__(self, parent: Path, sink_port: int) -> None:
        settings = {
            "relayhost": f"[127.0.0.1]:{sink_port}",
            "disable_dns_lookups": "yes",
            "in_flow_delay": "0",
            "default_process_limit": "300",
            "default_destination_concurrency_limit": "20",
            "initial_destination_concurrency": "20",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_client_connection_rate_limit": "0",
            "smtpd_client_message_rate_limit": "0",
            "smtpd_client_recipient_rate_limit": "0",
            "smtp_tls_security_level": "",
        }
        self._instance = postfix.Postfix(parent, settings)
        self.port = self._instance.port
        self.start = self._instance.start
        self.stop = self._instance.stop
        self.waiting = self._instance.waiting


class Nothing:
    """No server: the load goes straight into the sink, which shows how much the two programs can do at most."""

    name = "ceiling"

    def __init__(self, parent: Path, sink_port: int) -> None:  # noqa: ARG002
        self.port = sink_port

    def start(self) -> None:
        """Have nothing to start."""

    def stop(self) -> None:
        """Have nothing to stop."""

    def waiting(self) -> int:
        """Hold nothing."""
        return 0


PEERS = {peer.name: peer for peer in (Relay, Postfix, Nothing)}


def why_not(name: str) -> str | None:
    """Return why a peer is left out on this machine, or None."""
    return postfix.why_not() if name == Postfix.name else None
