"""A DNS server on loopback, UDP and TCP, that serves a zone.

In a test: `server = DnsServer(zone); port = server.listen(reactor)`, later `await server.stop()`. As a program:
`python -m harness.dns_server --port 0 --zone zone.json` prints `ready PORT`; the file is read again when it changes.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.protocols.basic import Int16StringReceiver

from harness.zone import Zone
from mta.file_stamp import FileStamp

_PLAIN_UDP = 512
_ATTEMPTS = 20

#: Makes the reply to a query from the query, the honest reply, and "udp" or "tcp"; None is silence.
Trick = Callable[[dns.message.Message, bytes | None, str], bytes | None]


class DnsServer:
    """Serves a zone on one port. `asked` lists (name, type, transport) of each query; `trick` may spoil the replies."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.asked: list[tuple[str, str, str]] = []
        self.trick: Trick | None = None
        #: Whether it says that it has validated the answers.
        self.validating = False
        self._ports: list[Any] = []

    def listen(self, reactor: Any, port: int = 0, interface: str = "127.0.0.1") -> int:
        """Listen on one port for both transports and return it."""
        for _ in range(_ATTEMPTS):
            tcp = reactor.listenTCP(port, _TcpFactory(self), interface=interface)
            chosen = int(tcp.getHost().port)
            try:
                udp = reactor.listenUDP(chosen, _Udp(self), interface=interface, maxPacketSize=65535)
            except CannotListenError:
                tcp.stopListening()
                if port:
                    raise
                continue
            self._ports = [tcp, udp]
            return chosen
        raise RuntimeError("found no port that is free for both UDP and TCP")

    def stop(self) -> Any:
        """Stop listening; fires when the ports are free."""
        return gatherResults([maybeDeferred(port.stopListening) for port in self._ports])

    def reply(self, wire: bytes, transport: str) -> bytes | None:
        """Return the reply to a query in wire form; None is silence."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype), transport))
        honest = self._answer(query, name, transport)
        return self.trick(query, honest, transport) if self.trick else honest

    def _answer(self, query: dns.message.Message, name: str, transport: str) -> bytes | None:
        reply = dns.message.make_response(query, recursion_available=True)
        rcode = _fill(reply, self.zone, name, dns.rdatatype.to_text(query.question[0].rdtype))
        if rcode == "SILENCE":
            return None
        reply.set_rcode(dns.rcode.from_text(rcode))
        if self.validating:
            reply.flags |= dns.flags.AD
        room = 65535 if transport == "tcp" else max(_PLAIN_UDP, query.payload)
        try:
            return reply.to_wire(max_size=room)
        except dns.exception.TooBig:
            cut = dns.message.make_response(query, recursion_available=True)
            cut.flags |= dns.flags.TC
            return cut.to_wire()


def _fill(reply: dns.message.Message, zone: Zone, name: str, kind: str) -> str:
    """Put the records for a question into a reply, CNAMEs followed as a recursive server does; return the rcode."""
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        if zone.failure(name):
            return zone.failure(name)
        target = zone.alias(name)
        if not target:
            break
        reply.answer.append(dns.rrset.from_text(_fqdn(name), zone.ttl(name), "IN", "CNAME", _fqdn(target)))
        name = target
    records = zone.own(name, kind)
    if records:
        reply.answer.append(dns.rrset.from_text_list(_fqdn(name), zone.ttl(name), "IN", kind, _texts(kind, records)))
    elif not zone.alias(name):
        soa = f". . 1 3600 600 86400 {zone.ttl(name)}"
        reply.authority.append(dns.rrset.from_text(".", zone.ttl(name), "IN", "SOA", soa))
    return "NOERROR" if zone.exists(name) else "NXDOMAIN"


def _texts(kind: str, records: list[Any]) -> list[str]:
    if kind == "MX":
        return [f"{preference} {_fqdn(host)}" for preference, host in records]
    if kind != "TXT":
        return records
    # A text in quotation marks or brackets is written as in a zone file, so that it may have several strings.
    return [text if text.startswith(('"', "(")) else f'"{text}"' for text in records]


def _fqdn(name: str) -> str:
    return name + "."


class _Udp(DatagramProtocol):
    noisy = False

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        reply = self._server.reply(datagram, "udp")
        if reply is not None:
            cast(IUDPTransport, self.transport).write(reply, addr)


class _Tcp(Int16StringReceiver):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def stringReceived(self, string: bytes) -> None:
        reply = self._server.reply(string, "tcp")
        if reply is not None:
            self.sendString(reply)


class _TcpFactory(Factory):
    noisy = False

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def buildProtocol(self, addr: Any) -> _Tcp:
        return _Tcp(self._server)


class FileZone(Zone):
    """A zone that follows its file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._stamp: FileStamp | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the file if it has changed."""
        stamp = FileStamp.of(self._path)
        if stamp != self._stamp:
            self.records = Zone(json.loads(self._path.read_text())).records
            self._stamp = stamp


class FileServer(DnsServer):
    """Serves a file."""

    def __init__(self, zone: FileZone) -> None:
        super().__init__(zone)
        self._file = zone

    def reply(self, wire: bytes, transport: str) -> bytes | None:
        self._file.refresh()
        return super().reply(wire, transport)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="a DNS server for tests")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--zone", type=Path, required=True)
    parser.add_argument("--interface", default="127.0.0.1")
    parser.add_argument("--validating", action="store_true")
    options = parser.parse_args()
    from twisted.internet import reactor

    server = FileServer(FileZone(options.zone))
    server.validating = options.validating
    port = server.listen(reactor, options.port, options.interface)
    print("ready", port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
