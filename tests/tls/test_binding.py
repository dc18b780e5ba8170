"""The channel binding of a TLS connection is the same at both ends, and another one for each connection."""

import socket
from contextlib import suppress
from typing import Any

import pytest
from OpenSSL import SSL

from harness.certificates import Leaf, authority
from mta.smtp.sasl.logins import ChannelBinding
from mta.tls.binding import channel_binding
from mta.tls.context import new_context

LEAF: Leaf = authority().leaf(["a.test"])


class Transport:
    def __init__(self, handle: object) -> None:
        self._handle = handle

    def getHandle(self) -> object:
        return self._handle


def shaken(version: int) -> tuple[Any, Any]:
    """Return both ends of a TLS connection in memory, after the handshake."""
    server_context, client_context = new_context(SSL.TLS_SERVER_METHOD), new_context(SSL.TLS_CLIENT_METHOD)
    server_context.use_certificate(LEAF.certificate)
    server_context.use_privatekey(LEAF.key)
    client_context.set_max_proto_version(version)
    client, server = SSL.Connection(client_context, None), SSL.Connection(server_context, None)
    client.set_connect_state()
    server.set_accept_state()
    for end, other in ((client, server), (server, client)) * 4:
        with suppress(SSL.WantReadError):
            end.do_handshake()
        with suppress(SSL.WantReadError):
            other.bio_write(end.bio_read(65536))
    return client, server


def bindings(version: int) -> tuple[ChannelBinding | None, ChannelBinding | None]:
    client, server = shaken(version)
    return channel_binding(Transport(client)), channel_binding(Transport(server), server=True)


@pytest.mark.parametrize(
    ("version", "name", "octets"), [(SSL.TLS1_3_VERSION, "tls-exporter", 32), (SSL.TLS1_2_VERSION, "tls-unique", 12)]
)
def test_both_ends_have_the_same_binding_and_each_connection_another(version: int, name: str, octets: int) -> None:
    at_client, at_server = bindings(version)
    assert at_client == at_server
    assert at_client is not None
    assert (at_client.name, len(at_client.data)) == (name, octets)
    assert bindings(version)[0] != at_client


@pytest.mark.parametrize("handle", [None, socket.socket])
def test_a_connection_in_clear_has_no_binding(handle: object) -> None:
    assert channel_binding(Transport(handle)) is None
