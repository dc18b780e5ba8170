"""The parts of an end-to-end test: a DNS, sinks and relays."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness.daemon import Daemon
from harness.dns_process import Dns
from harness.sink import Sink
from harness.sink_rules import Message, Rule
from harness.token_endpoint import TokenEndpoint
from harness.waiting import PATIENCE, until
from tests.endtoend.mails import mail
from tests.endtoend.secret_search import search

#: Whom most messages are for.
TO = "someone@example.test"


class World:
    """Makes sinks and relays that end with the test."""

    def __init__(self, dns: Dns, home: Path, stack: ExitStack) -> None:
        self.dns = dns
        self.home = home
        self._stack = stack
        #: The secrets of this test that neither a setting of a relay nor a sink knows.
        self.secrets: set[str] = set()
        self._relays: list[Daemon] = []
        self._sinks: list[Sink] = []
        self._endpoints: list[TokenEndpoint] = []

    def sink(self, *rules: Rule, **options: Any) -> Sink:
        """Return a running sink that follows these rules."""
        sink = self._stack.enter_context(Sink(list(rules), **options))
        self._sinks.append(sink)
        return sink

    def token_endpoint(self, **options: Any) -> TokenEndpoint:
        """Return a running token endpoint of an OAuth 2 provider."""
        endpoint = self._stack.enter_context(TokenEndpoint(**options))
        self._endpoints.append(endpoint)
        return endpoint

    def secret(self, text: str) -> str:
        """Return a secret that no word of a relay may contain when the test ends."""
        self.secrets.add(text)
        return text

    def leaks(self) -> list[bytes]:
        """Return the secrets that the relays of this test have shown, in the forms found."""
        return search(self.secrets, self._relays, self._sinks, self._endpoints)

    def relay(self, out: Any, **settings: str) -> Daemon:
        """Return a running relay that delivers by MX to the port of `out`."""
        return self._stack.enter_context(self.stopped_relay(out, **settings))

    def other_relay(self, out: Any, name: str, **settings: str) -> Daemon:
        """Return such a relay beside another one, with a home of this name."""
        return self._stack.enter_context(self.stopped_relay(out, name, **settings))

    def stopped_relay(self, out: Any, name: str = "relay", /, **settings: str) -> Daemon:
        """Return such a relay before its start; its processes end with the test."""
        common = {
            "DNS_SERVERS": self.dns.setting,
            "SMTPPORTOUT": str(out.port),
            "PRIVATE_DESTINATIONS": "allow",
            "RETRY_SCHEDULE": "F,10m,1s",
        }
        daemon = Daemon(self.home / name, **{**common, **settings})
        self._stack.callback(daemon.__exit__)
        self._relays.append(daemon)
        return daemon


@contextmanager
def world_of_one_test(home: Path) -> Iterator[World]:
    """Yield a world with a DNS of its own, which knows example.test alone, at 127.0.0.1."""
    with ExitStack() as stack:
        dns = Dns(home)
        dns.mail_host("example.test")
        stack.enter_context(dns.child)
        until(lambda: "ready" in dns.child.text, what="the DNS server")
        yield World(dns, home, stack)


@contextmanager
def ring_of_two(world: World, **settings: str) -> Iterator[tuple[Daemon, Daemon]]:
    """Run two relays, each the smarthost of the other, for mail that never arrives."""
    settings |= {"SMARTHOST_ADDRESS": "127.0.0.1", "SMARTHOST_TLS": "none"}
    first, second = (Daemon(world.home / name, MAILNAME=f"{name}.test", **settings) for name in ("first", "second"))
    first.environment["SMARTHOST_PORT"] = str(second.port)
    second.environment["SMARTHOST_PORT"] = str(first.port)
    with first, second:
        yield first, second


def end_of_loop(first: Daemon, second: Daemon) -> dict[str, Any]:
    """Send a message into a ring of two relays; return the event by which it ends, when both queues are empty."""
    first.submit(mail(), TO, sender="")
    until(lambda: first.events("failed") + second.events("failed"), what="the end of the loop")
    (failed,) = first.events("failed") + second.events("failed")
    first.wait_until_empty()
    second.wait_until_empty()
    return failed


def outcome(relay: Daemon) -> str:
    """Wait for the first attempt to deliver a message; return "" after a success, else the remote's words."""
    until(lambda: relay.events("delivered") or relay.events("deferred") or relay.events("failed"), what="an outcome")
    return "".join(event["reply"] for name in ("deferred", "failed") for event in relay.events(name))


def received(sink: Sink, number: int = 1, seconds: float = PATIENCE) -> Sequence[Message]:
    """Wait for messages and return them; the sink must have found no fault."""
    until(lambda: len(sink.messages) >= number, seconds, what=f"{number} messages at the sink")
    assert sink.faults == []
    return sink.messages
