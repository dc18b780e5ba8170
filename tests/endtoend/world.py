"""The parts of an end-to-end test: a DNS, sinks and relays."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness.daemon import Daemon
from harness.dns_process import Dns
from harness.sink import Sink
from harness.sink_rules import Message, Rule
from harness.waiting import PATIENCE, until

#: Whom most messages are for.
TO = "someone@example.test"


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
        """Return such a relay before its start; its processes end with the test."""
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
