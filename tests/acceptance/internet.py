"""Two networks: the relay's host at 192.0.2.1, and all the rest of the world behind its eth0."""

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness.certificates import Authority
from harness.daemon import Daemon
from harness.dns_process import Dns
from harness.network import Network, connect
from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import PATIENCE, until
from tests.acceptance.stage import Stage

#: The relay's host, with its own network behind eth0.
RELAY = "192.0.2.1"
_GATEWAY = "192.0.2.254"
# Every address of these can be served in the world: two public-looking ones and a private one.
_SERVED = ("198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/24")


class Internet:
    """The networks, the DNS of the relay's host, and the relays that several scenarios share."""

    def __init__(self, root: Authority, home: Path, stack: ExitStack) -> None:
        self._root = root
        self._home = home
        self._stack = stack
        self._shared: dict[str, Daemon] = {}
        self.here = stack.enter_context(Network())
        self.world = stack.enter_context(Network())
        connect(self.here, f"{RELAY}/24", self.world, f"{_GATEWAY}/24")
        for network in _SERVED:
            self.world.ip("route", "add", "local", network, "dev", "lo")
        with self.here.entered():
            self.dns = Dns(home)
            stack.enter_context(self.dns.child)
        until(lambda: "ready" in self.dns.child.text, what="the DNS server")
        self.stage = Stage(self.dns, root, home, stack)

    @contextmanager
    def scene(self, home: Path) -> Iterator[None]:
        """Run a test on the relay's host; the processes of its `stage` end with it."""
        with self.here.entered(), ExitStack() as stack:
            self.stage = Stage(self.dns, self._root, home, stack)
            yield

    def host(self, address: str, *rules: Rule, port: int = 25, **options: Any) -> Sink:
        """Return a running mail host somewhere in the world."""
        with self.world.entered():
            return self.stage.sink(*rules, address=address, port=port, **options)

    def relay(self, **settings: str) -> Daemon:
        """Return a running relay that listens on port 25 of its host and trusts its eth0, as it does by default."""
        relay = self.stage.stopped_relay(**_PLAIN, **settings)
        relay.child.command[:0] = _AS_SOMEBODY
        relay.start()
        return relay

    def shared_relay(self, name: str, **settings: str) -> Daemon:
        """Return such a relay, which the scenarios that ask for this name share. It is made for the first of them."""
        if name not in self._shared:
            port = str(2500 + len(self._shared))
            home = self._home / name
            home.mkdir()
            stage = Stage(self.dns, self._root, home, self._stack)
            self._shared[name] = stage.relay(**{**_PLAIN, "PORT": port}, **settings)
        return self._shared[name]

    def secondary(self) -> Daemon:
        """Return the shared relay that takes mail from anyone for the scenarios' RELAY_DOMAINS."""
        domains = "a.test : b.test : *.wild.test : primary.test : 10net.test"
        return self.shared_relay("secondary", RELAY_DOMAINS=domains, SMTPPORTOUT="2525")

    def stranger(self, relay: Daemon, address: str = "198.51.100.77") -> smtplib.SMTP:
        """Connect to the relay as a mail client somewhere in the world."""
        with self.world.entered():
            return smtplib.SMTP(RELAY, relay.port, "client.test", timeout=PATIENCE, source_address=(address, 0))

    def mail_host(self, domain: str, address: str) -> None:
        """Give a domain one MX host at this address."""
        self.dns.mail_host(domain, address)


# The relay on port 25 is not root. Its user may read files that only root can read, such as these tests and their
# Python.
_MAY = "+net_bind_service,+dac_override"
_AS_SOMEBODY = [
    "setpriv",
    *("--reuid=65534", "--regid=65534", "--clear-groups"),
    *(f"--inh-caps={_MAY}", f"--ambient-caps={_MAY}"),
]
_PLAIN = {"PORT": "25", "BIND_IP": "0.0.0.0", "NET_DEV": "eth0"}
