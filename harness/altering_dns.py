"""A DNS server that passes queries on to another and alters its replies: a resolver or a name server with faults."""

import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

_PORT = 53
_SECONDS = 10.0
_PLAIN_UDP = 512
_SIGNATURE_TYPES = frozenset(
    {dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.NSEC3, dns.rdatatype.DS, dns.rdatatype.DNSKEY}
)

#: Makes a reply of the query and the reply of the other server; None is silence.
Alteration = Callable[[dns.message.Message, dns.message.Message], dns.message.Message | None]


class AlteringDns:
    """The server, on UDP and TCP at port 53 of an address. A context manager; `alterations` may change at any time."""

    def __init__(self, address: str, upstream: str, *alterations: Alteration) -> None:
        self.address = address
        self.upstream = upstream
        self.alterations = list(alterations)
        #: The name and type of each query, and the time of the last answer in seconds since 1970.
        self.asked: list[tuple[str, str]] = []
        self.last_answer = 0.0
        self._servers: list[socketserver.BaseServer] = []

    def __enter__(self) -> Self:
        self._servers = [_Udp(self), _Tcp(self)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def reply(self, wire: bytes, *, tcp: bool) -> bytes | None:
        """Return the altered reply to a query in wire form; None is silence."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype)))
        reply: dns.message.Message | None = self._honest(query)
        for alter in self.alterations:
            if reply is not None:
                reply = alter(query, reply)
        self.last_answer = time.time()
        return None if reply is None else _wire(query, reply, tcp=tcp)

    def _honest(self, query: dns.message.Message) -> dns.message.Message:
        try:
            return dns.query.udp_with_fallback(query, self.upstream, timeout=_SECONDS, port=_PORT)[0]
        except (OSError, dns.exception.DNSException):
            return _failure(query)


def strip_signatures(_query: dns.message.Message, reply: dns.message.Message) -> dns.message.Message:
    """Remove all records of DNSSEC and the AD bit from a reply, as old home routers do."""
    for section in reply.sections[1:]:
        section[:] = [rrset for rrset in section if rrset.rdtype not in _SIGNATURE_TYPES]
    reply.flags &= ~dns.flags.AD
    return reply


def failing(rdtype: str, name: str = "", how: str = "SERVFAIL") -> Alteration:
    """Return an alteration to this rcode for queries of a type, for one name or, without, for each; SILENCE too."""

    def alter(query: dns.message.Message, reply: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        asked = question.name.to_text(omit_final_dot=True).lower()
        if question.rdtype != dns.rdatatype.from_text(rdtype) or (name and asked != name):
            return reply
        return None if how == "SILENCE" else _failure(query, how)

    return alter


def _failure(query: dns.message.Message, rcode: str = "SERVFAIL") -> dns.message.Message:
    failure = dns.message.make_response(query, recursion_available=True)
    failure.set_rcode(dns.rcode.from_text(rcode))
    return failure


def _wire(query: dns.message.Message, reply: dns.message.Message, *, tcp: bool) -> bytes:
    reply.id = query.id
    try:
        return reply.to_wire(max_size=65535 if tcp else max(_PLAIN_UDP, query.payload))
    except dns.exception.TooBig:
        cut = dns.message.make_response(query, recursion_available=True)
        cut.flags |= dns.flags.TC
        return cut.to_wire()


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = 65535

    def __init__(self, dns_server: AlteringDns) -> None:
        super().__init__((dns_server.address, _PORT), _UdpHandler)
        self.dns_server = dns_server


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        """Answer one datagram."""
        wire, sock = self.request
        reply = self.server.dns_server.reply(wire, tcp=False)
        if reply is not None:
            with suppress(OSError):
                sock.sendto(reply, self.client_address)


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, dns_server: AlteringDns) -> None:
        super().__init__((dns_server.address, _PORT), _TcpHandler)
        self.dns_server = dns_server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that are gone."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    server: _Tcp

    def handle(self) -> None:
        """Answer the queries of one connection."""
        while length := self.rfile.read(2):
            wire = self.rfile.read(*struct.unpack("!H", length))
            reply = self.server.dns_server.reply(wire, tcp=True)
            if reply is None:
                return
            with suppress(OSError):
                self.wfile.write(struct.pack("!H", len(reply)) + reply)
