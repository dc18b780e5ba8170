"""What the end-to-end tests are played with: a DNS, sinks and relays."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.endtoend.daemon import ROOT, Daemon
from tests.fakes.processes import PATIENCE, Child, free_port, until
from tests.fakes.received import Message, Rule
from tests.fakes.sink import Sink

#: Whom most messages are for.
TO = "someone@example.test"


class Dns:
    """A DNS server in a process of its own, which follows its zone file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "zone.json"
        self._records: dict[str, Mapping[str, Any]] = {}
        self.port = free_port()
        self.add({})
        command = [sys.executable, "-m", "tests.fakes.dnsserver", "--port", str(self.port), "--zone", str(self._file)]
        self.child = Child(command, folder / "dns.log", {"PYTHONPATH": str(ROOT)})

    def add(self, names: Mapping[str, Mapping[str, Any]]) -> None:
        """Add records by name, in the form of the zone file."""
        self._records |= names
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self._records))
        new.replace(self._file)

    def clear(self) -> None:
        """Remove all records."""
        self._records.clear()
        self.add({})

    def mail_host(self, domain: str, address: str = "127.0.0.1") -> None:
        """Give a domain one MX host at this address."""
        self.add({domain: {"MX": [[10, f"mx.{domain}"]]}, f"mx.{domain}": {"A": [address]}})

    @property
    def setting(self) -> str:
        """The value of DNS_SERVERS."""
        return f"127.0.0.1:{self.port}"


class World:
    """Makes sinks and relays that end with the test."""

    def __init__(self, dns: Dns, home: Path, stack: ExitStack) -> None:
        self.dns = dns
        self.home = home
        self._stack = stack

    def sink(self, *rules: Rule, **options: Any) -> Sink:
        """Return a running sink that follows these rules."""
        return self._stack.enter_context(Sink(list(rules), **options))

    def relay(self, out: Any, **settings: str) -> Daemon:
        """Return a running relay that delivers by MX to the port of `out`."""
        return self._stack.enter_context(self.stopped_relay(out, **settings))

    def stopped_relay(self, out: Any, **settings: str) -> Daemon:
        """Return such a relay before its start; what it starts ends with the test."""
        common = {
            "DNS_SERVERS": self.dns.setting,
            "SMTPPORTOUT": str(out.port),
            "PRIVATE_DESTINATIONS": "allow",
            "RETRY_SCHEDULE": "F,10m,1s",
        }
        daemon = Daemon(self.home / "relay", **{**common, **settings})
        self._stack.callback(daemon.__exit__)
        return daemon


def received(sink: Sink, number: int = 1, seconds: float = PATIENCE) -> Sequence[Message]:
    """Wait for messages and return them; the sink must have found no fault."""
    until(lambda: len(sink.messages) >= number, seconds, what=f"{number} messages at the sink")
    assert sink.faults == []
    return sink.messages
