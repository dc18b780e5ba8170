"""The parts of a scenario: a relay with the settings of the scenario alone, sinks and clients."""

import os
import smtplib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.certificates import Authority
from harness.daemon import ROOT, Daemon
from harness.dns_process import Dns
from harness.shifted_clock import WallClock
from harness.sink import Sink
from harness.sink_rules import Message, Rule
from harness.waiting import PATIENCE, until
from tests.endtoend.secret_search import search

#: Another address of this host; only 127.0.0.1 is trusted unless a scenario says more.
STRANGER = "127.0.0.2"
#: An address of this host for ports that are given: no other run of these tests has it.
RESERVED = f"127.19.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"


class Stage:
    """Makes sinks and relays that end with the test. `root` is the authority that the relays trust."""

    def __init__(self, dns: Dns, root: Authority, home: Path, stack: ExitStack) -> None:
        self.dns = dns
        self.home = home
        self._root = root
        self._stack = stack
        self._sinks: list[Sink] = []
        self._relays: list[Daemon] = []

    def sink(self, *rules: Rule, **options: Any) -> Sink:
        """Return a running sink that follows these rules."""
        sink = self._stack.enter_context(Sink(list(rules), **options))
        self._sinks.append(sink)
        return sink

    def leaks(self) -> list[bytes]:
        """Return the secrets that the relays of this scenario have shown, in the forms found."""
        return search((), self._relays, self._sinks, ())

    def stopped_relay(self, **settings: str) -> Daemon:
        """Return a relay with these settings before its start; its processes end with the test."""
        common = {"DNS_SERVERS": self.dns.setting, "SSL_CERT_FILE": self.authority_file}
        relay = Daemon(self.home / "relay", **{**common, **settings})
        relay.port = int(settings.get("PORT", relay.port))
        self._stack.callback(relay.__exit__)
        self._relays.append(relay)
        return relay

    def relay(self, **settings: str) -> Daemon:
        """Return such a relay, running."""
        relay = self.stopped_relay(**settings)
        relay.start()
        return relay

    @property
    def authority_file(self) -> str:
        """The root that vouches for `certificate`, PEM."""
        return str(self._root.write(self.home))

    def certificate(self, *names: str, ips: Sequence[str] = ()) -> tuple[str, str]:
        """Return the paths of a certificate for these names, and of its key."""
        certificate, key = self._root.leaf(names, ips).write(self.home, f"{(*names, *ips)[0]}")
        return str(certificate), str(key)


@dataclass(frozen=True)
class Through:
    """A relay and the smarthost it sends everything through."""

    relay: Daemon
    sink: Sink


def smarthost(sink: Sink, address: str = "127.0.0.1", **more: str) -> dict[str, str]:
    """Return the settings that make a sink the smarthost."""
    return {"SMARTHOST_ADDRESS": address, "SMARTHOST_PORT": str(sink.port), **more}


def verdicts(client: smtplib.SMTP, *recipients: str, sender: str = "sender@sender.test") -> list[int]:
    """Begin a message to these recipients and return the codes of the replies to RCPT."""
    return [code for code, _ in replies(client, *recipients, sender=sender)]


def replies(client: smtplib.SMTP, *recipients: str, sender: str = "sender@sender.test") -> list[tuple[int, bytes]]:
    """Begin a message to these recipients and return the replies to RCPT."""
    client.ehlo_or_helo_if_needed()
    client.docmd("RSET")
    assert client.mail(sender)[0] == 250
    return [client.docmd(f"RCPT TO:<{recipient}>") for recipient in recipients]


def arrived(sink: Sink, recipient: str, seconds: float = PATIENCE) -> Message:
    """Wait for the message to a recipient and return it."""
    return until(lambda: find(sink, recipient), seconds, what=f"a message to {recipient} at the sink")


def find(sink: Sink, recipient: str) -> Message | None:
    """Return the message to a recipient, or None; two of them are a fault."""
    assert sink.faults == []
    found = [message for message in sink.messages if recipient in message.recipients]
    assert len(found) < 2, f"{len(found)} messages to {recipient}"
    return found[0] if found else None


def awaited(relay: Daemon, event: str, **fields: str) -> Mapping[str, Any]:
    """Wait for an event with these fields in the event log and return the first such."""
    return until(lambda: next(iter(events(relay, event, **fields)), None), what=f"{event} with {fields}")


def events(relay: Daemon, event: str, **fields: str) -> list[dict[str, Any]]:
    """Return the events so far that have these fields."""
    return [one for one in relay.events(event) if fields.items() <= one.items()]


def settled(relay: Daemon) -> None:
    """Wait until the event log has the outcome of every recipient, those of reports included; there is at least one."""

    def none_is_open() -> bool:
        taken = sum(event["recipients"] for event in relay.events("accepted")) + len(relay.events("reported"))
        # The log may lag behind the reply to the client, so that it has nothing yet.
        return 0 < taken == len(relay.events("delivered")) + len(relay.events("failed"))

    until(none_is_open, what="an end for every recipient")


def clock_settings(clock: WallClock) -> dict[str, str]:
    """Return the settings of a relay that goes by this clock."""
    return clock.settings(str(ROOT))


def advance(clock: WallClock, seconds: float) -> None:
    """Let time pass for a relay, which notices within the seconds of `mta.daemon.clocks.CHECK_INTERVAL`."""
    clock.ahead += seconds
