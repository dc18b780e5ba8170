"""Domains to which no mail has gone yet, in a network of their own: signed or not, with policies or none.

One MX host takes the mail of all of them, and notes when. A validating unbound serves the relay, and an nsd has the
zones. Every packet stays on this machine, so that the times are those of the programs, unless each answer of the DNS is
late by the time that it takes on the Internet.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import dns.message
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.client import Client, content
from harness.altering_dns import AlteringDns
from harness.certificates import Leaf, authority
from harness.daemon import Daemon
from harness.network_namespace import public_address, public_network
from harness.policy_host import policy, policy_host, record
from harness.sink import Sink
from harness.sink_rules import Message
from harness.waiting import PATIENCE
from harness.web_server import WebServer
from harness.zone_servers import Nsd, Unbound, with_anchor
from harness.zone_tree import ZoneTree

_NAME_SERVER, _RESOLVER, _HOST, _WEB, _LATE = (public_address(number) for number in range(1, 6))
_ETH_P_IP, _UDP, _PORT = 0x0800, 17, 53


@dataclass(frozen=True, slots=True)
class Publication:
    """The data that the domains publish: signatures and TLSA records, and policies of MTA-STS."""

    dane: bool = False
    sts: bool = False
    #: Seconds by which each answer of the DNS is late.
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class FirstDelivery:
    """Seconds from the last octet of a message until the MX host had it, and the queries of the relay meanwhile."""

    seconds: float
    queries: int


def first_deliveries(home: Path, number: int, publication: Publication, **settings: str) -> Sequence[FirstDelivery]:
    """Send a message to each of a number of new domains, one after the other, through a new relay with these settings.

    The relay has validated nothing before the first of them. Raises NoNetworkError where no network can be made.
    """
    domains = [f"domain{each}.example" for each in range(number)]
    with public_network(), ExitStack() as stack:
        arrivals, server_settings = _serve(stack, home, domains, publication)
        daemon = Daemon(home / "relay", LOG_FORMAT="text", **server_settings, **settings)
        daemon.child.command[:0] = with_anchor(home / "anchor")
        stack.enter_context(daemon)
        client = stack.enter_context(Client(daemon.port))
        queries = stack.enter_context(_counted_queries(server_settings["DNS_SERVERS"]))
        return [_deliver(client, domain, arrivals, queries) for domain in domains]


def _deliver(client: Client, domain: str, arrivals: "_Arrivals", queries: "_Queries") -> FirstDelivery:
    queries.count()
    accepting = client.send([f"someone@{domain}"], content())
    said = time.perf_counter() - accepting
    return FirstDelivery(arrivals.times.get(timeout=PATIENCE) - said, queries.count())


class _Arrivals(list[Message]):
    """The messages of a sink, with the time at which it had each."""

    def __init__(self) -> None:
        super().__init__()
        self.times: SimpleQueue[float] = SimpleQueue()

    def append(self, message: Message) -> None:
        """Take a message."""
        self.times.put(time.perf_counter())
        super().append(message)


def _serve(
    stack: ExitStack, home: Path, domains: Sequence[str], publication: Publication
) -> tuple[_Arrivals, dict[str, str]]:
    """Serve the domains until the stack ends; return the mail that comes, and the settings of a relay that sends it."""
    root = authority()
    shown = root.leaf([name for domain in domains for name in (f"mx.{domain}", policy_host(domain))])
    certificate, key = map(str, shown.write(home))
    sink = stack.enter_context(Sink(tls=(certificate, key), name="mx.example", address=_HOST, port=25))
    sink.messages = arrivals = _Arrivals()
    if publication.sts:
        stack.enter_context(WebServer((certificate, key), _WEB, policy("enforce", ["*." + each for each in domains])))
    tree = _zones(domains, publication, shown)
    (home / "anchor").write_text(tree.anchor)
    stack.enter_context(Nsd(tree, home / "nsd", _NAME_SERVER))
    stack.enter_context(Unbound(tree, home / "unbound", _RESOLVER, caching=True))
    server = _RESOLVER
    if publication.delay:
        server = stack.enter_context(AlteringDns(_LATE, _RESOLVER, partial(_late, publication.delay))).address
    return arrivals, {"DNS_SERVERS": server, "SSL_CERT_FILE": str(root.write(home))}


def _late(seconds: float, _query: dns.message.Message, reply: dns.message.Message) -> dns.message.Message:
    time.sleep(seconds)
    return reply


def _zones(domains: Sequence[str], publication: Publication, shown: Leaf) -> ZoneTree:
    key = shown.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    tlsa = f"3 1 1 {digest.finalize().hex()}"
    tree = ZoneTree(_NAME_SERVER)
    for domain in domains:
        zone = tree.zone(domain, signed=publication.dane)
        zone.set(domain, "MX", f"10 mx.{domain}.")
        zone.set(f"mx.{domain}", "A", _HOST)
        if publication.dane:
            zone.set(f"_25._tcp.mx.{domain}", "TLSA", tlsa)
        if publication.sts:
            zone.set(f"_mta-sts.{domain}", "TXT", record("1"))
            zone.set(policy_host(domain), "A", _WEB)
    return tree


class _Queries:
    """Counts the datagrams to port 53 of a name server, as the network sees them, which delays none."""

    def __init__(self, packets: socket.socket, server: str) -> None:
        self._packets = packets
        self._server = socket.inet_aton(server)

    def count(self) -> int:
        """Return how many there were since the last call."""
        number = 0
        with suppress(BlockingIOError):
            while True:
                packet, (_, _, kind, *_) = self._packets.recvfrom(64)
                number += kind == socket.PACKET_HOST and self._is_query(packet)
        return number

    def _is_query(self, packet: bytes) -> bool:
        ports = (packet[0] & 15) * 4
        to, port = packet[16:20], packet[ports + 2 : ports + 4]
        return packet[9] == _UDP and to == self._server and port == _PORT.to_bytes(2, "big")


@contextmanager
def _counted_queries(server: str) -> Iterator[_Queries]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP)) as packets:
        packets.setblocking(False)
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        yield _Queries(packets, server)
