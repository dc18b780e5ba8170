"""The parts of a test of secure delivery: signed domains, MX hosts with any certificate, policy hosts, and a relay.

All live in a network of their own with public addresses, where MX hosts listen at port 25 and policy hosts at 443.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509

from harness import network_namespace, zone_servers
from harness.altering_dns import AlteringDns
from harness.certificates import Authority, Leaf, authority
from harness.daemon import Daemon, program
from harness.network import Network
from harness.network_namespace import public_address, public_network
from harness.policy_host import policy_host, record
from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import until
from harness.web_server import WebAnswer, WebServer
from harness.zone_servers import Nsd, Unbound, with_anchor
from harness.zone_tree import TreeZone, ZoneTree
from tests.drivers.tlsa import tlsa as tlsa_record
from tests.endtoend.mails import mail

#: The authority that the relay trusts, and one that it does not.
ROOT, STRANGER = authority(), authority("Unknown Authority")
S = TypeVar("S", bound=WebServer)
NAME_SERVER, RESOLVER, DNS = public_address(1), public_address(2), public_address(3)


def why_not() -> str | None:
    """Return why these tests cannot run here, or None if they can."""
    return zone_servers.why_not() or network_namespace.why_not()


class SecureWorld:
    """Makes domains, their servers, and relays that deliver to them. What changes later counts after `publish`."""

    def __init__(self, network: Network, home: Path, stack: ExitStack) -> None:
        self.network = network
        self.home = home
        self.tree = ZoneTree(NAME_SERVER)
        self._anchor = home / "anchor"
        self._anchor.write_text(self.tree.anchor)
        self._stack = stack
        self._hosts = count(10)
        self._files = count()
        self._nsd: Nsd | None = None
        #: The name server of relays. It alters the answers of an unbound, which validates them or does not.
        self.dns = AlteringDns(DNS, RESOLVER)
        self.validating = True

    def domain(self, name: str, *hosts: str, signed: bool = True) -> TreeZone:
        """Return a domain with these MX hosts, most wanted first."""
        zone = self.tree.zone(name, signed=signed)
        if hosts:
            zone.set(name, "MX", *(f"{10 * number} {host}." for number, host in enumerate(hosts, 1)))
        return zone

    def host(
        self, name: str, *rules: Rule, shows: Leaf | None = None, chain: Sequence[Leaf | Authority] = (), **more: Any
    ) -> Sink:
        """Return an MX host at an address of its own, which shows a certificate, or without one offers no TLS."""
        address = self._new_address(name)
        tls = self.files(shows, *chain) if shows else None
        return self._stack.enter_context(Sink(list(rules), tls=tls, name=name, address=address, port=25, **more))

    def policy_host(self, domain: str, answer: WebAnswer, *, shows: Leaf | None = None, **more: Any) -> WebServer:
        """Return the policy host of a domain, whose record announces the policy with the id 1."""
        name = policy_host(domain)
        self.announce(domain, "1")
        return self.web_server(shows or ROOT.leaf([name]), self._new_address(name), answer, **more)

    def web_server(self, shows: Leaf, address: str, answer: WebAnswer, **more: Any) -> WebServer:
        """Return a web server at port 443 of an address."""
        return self._stack.enter_context(WebServer(self.files(shows), address, answer, **more))

    def serve(self, server: Callable[..., S], name: str) -> S:
        """Return an HTTPS server of this name, which shows a certificate of `ROOT`."""
        return self._stack.enter_context(server(self.files(ROOT.leaf([name])), self._new_address(name)))

    def announce(self, domain: str, policy_id: str) -> None:
        """Announce the policy of a domain with this id."""
        self.tree.set(f"_mta-sts.{domain}", "TXT", record(policy_id))

    def files(self, leaf: Leaf, *chain: Leaf | Authority) -> tuple[str, str]:
        """Return the names of new files with a certificate, those above it, and its key."""
        certificate, key = leaf.write(self.home, f"pair{next(self._files)}")
        certificate.write_bytes(b"".join(each.certificate_pem for each in (leaf, *chain)))
        return str(certificate), str(key)

    def publish(self) -> None:
        """Have the name servers serve the domains as they are now."""
        if self._nsd is None:
            self._nsd = self._stack.enter_context(Nsd(self.tree, self.home / "nsd", NAME_SERVER))
            resolver = Unbound(self.tree, self.home / "unbound", RESOLVER, validating=self.validating)
            self._stack.enter_context(resolver)
            self._stack.enter_context(self.dns)
        else:
            self._nsd.publish()
            # A validator may infer from an answer that a name does not exist, for the rest of the answer's second.
            until(lambda: int(time.time()) > int(self.dns.last_answer), what="the next second")

    def wait_for_new_answers(self) -> None:
        """Wait until relays ask the DNS again: they keep each answer for a second at least."""
        until(lambda: time.time() > self.dns.last_answer + 2, what="the end of the answers")

    def stopped_relay(self, name: str = "relay", **settings: str) -> Daemon:
        """Return a relay before its start. It trusts `ROOT`, and validates from the root of the domains on."""
        common = {"DNS_SERVERS": DNS, "SSL_CERT_FILE": str(ROOT.write(self.home)), "RETRY_SCHEDULE": "F,10m,1s"}
        relay = Daemon(self.home / name, **{**common, **settings})
        relay.child.command[:0] = with_anchor(self._anchor)
        self._stack.callback(relay.__exit__)
        return relay

    def relay(self, **settings: str) -> Daemon:
        """Publish the domains, and return a running relay."""
        self.publish()
        return self._stack.enter_context(self.stopped_relay(**settings))

    def tool(self, relay: Daemon, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the operator's command with the environment of a relay and its trust anchor."""
        command = [*with_anchor(self._anchor), program("smtprelay"), *arguments]
        return subprocess.run(command, env=relay.environment, capture_output=True, text=True, check=False)

    def _new_address(self, name: str) -> str:
        address = public_address(next(self._hosts))
        self.tree.set(name, "A", address)
        return address


class SharedRelay:
    """A running relay for several tests, each with domains and hosts of its own."""

    def __init__(self, secure: SecureWorld, **settings: str) -> None:
        self.secure = secure
        # Mail that waits stays out of the way of later tests.
        self.relay = secure.relay(**{"RETRY_SCHEDULE": "F,1h,15m", **settings})
        self._names = count(1)

    def name(self) -> str:
        """Return the name of a new domain."""
        return f"domain{next(self._names)}.example"

    def send(self, *domains: str) -> None:
        """Publish the domains, and send a message to one recipient in each of these."""
        self.secure.publish()
        self.relay.submit(mail(), [f"ann@{domain}" for domain in domains])

    def tls(self, domain: str) -> str:
        """Wait until mail to a domain is delivered; return its TLS, "" in clear."""
        return str(self._first("delivered", domain).get("tls", ""))

    def deferral(self, domain: str) -> str:
        """Wait until mail to a domain is deferred; return the reply."""
        return str(self._first("deferred", domain)["reply"])

    def of(self, event: str, domain: str) -> list[dict[str, Any]]:
        """Return the events of this name so far that are about a domain or about mail to it."""
        found = self.relay.events(event)
        return [each for each in found if domain == each.get("domain") or each.get("to") == f"<ann@{domain}>"]

    def notices(self, *words: str) -> list[str]:
        """Return the notices so far that have these words."""
        texts = [str(each["text"]) for each in self.relay.events("notice")]
        return [text for text in texts if all(word in text for word in words)]

    def _first(self, event: str, domain: str) -> dict[str, Any]:
        until(lambda: self.of(event, domain), what=f"{event} for {domain}")
        return self.of(event, domain)[0]


@contextmanager
def secure_world(home: Path) -> Iterator[SecureWorld]:
    """Return a maker of domains and relays; they end with the block. Raises NoNetworkError."""
    with public_network() as network, ExitStack() as stack:
        yield SecureWorld(network, home, stack)


def tlsa(usage: int, selector: int, certificate: x509.Certificate) -> str:
    """Return the TLSA record with these numbers and a SHA-256 digest of a certificate, as a zone has it."""
    made = tlsa_record(usage, selector, 1, certificate)
    return f"{made.usage} {made.selector} {made.matching} {made.data.hex()}"
