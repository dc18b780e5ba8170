"""Properties of every TLS context: protocol versions, no compression, no renegotiation."""

import socket
from contextlib import suppress

import pytest
from OpenSSL import SSL

from harness.certificates import authority
from mta.tls.context import new_context, openssl_error_text, protocol_and_cipher

LEAF = authority().leaf(["mx.example.test"])


def shaken(client: SSL.Connection, server: SSL.Connection) -> None:
    """Let two ends in memory do their handshake."""
    client.set_connect_state()
    server.set_accept_state()
    at_work = {client, server}
    while at_work:
        for end, other in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                end.do_handshake()
                at_work.discard(end)
            with suppress(SSL.WantReadError):
                other.bio_write(end.bio_read(1 << 16))


class Transport:
    def __init__(self, handle: object) -> None:
        self.handle = handle

    def getHandle(self) -> object:
        return self.handle


def server_context() -> SSL.Context:
    context = new_context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(LEAF.certificate)
    context.use_privatekey(LEAF.key)
    return context


def test_client_and_server_contexts_agree_and_describe_the_session():
    client = SSL.Connection(new_context(SSL.TLS_CLIENT_METHOD), None)
    shaken(client, SSL.Connection(server_context(), None))
    protocol, cipher = protocol_and_cipher(Transport(client)).split(" ")
    assert protocol == "TLSv1.3"
    assert cipher.startswith("TLS_")


@pytest.mark.parametrize("ours", ["client", "server"])
def test_older_than_tls_1_2_is_not_spoken(ours):
    old = SSL.Context(SSL.TLS_METHOD)
    old.use_certificate(LEAF.certificate)
    old.use_privatekey(LEAF.key)
    old.set_min_proto_version(SSL.TLS1_VERSION)
    old.set_max_proto_version(SSL.TLS1_1_VERSION)
    client = new_context(SSL.TLS_CLIENT_METHOD) if ours == "client" else old
    server = server_context() if ours == "server" else old
    for context in (old, client, server):
        # Without this OpenSSL itself refuses what is older.
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    with pytest.raises(SSL.Error) as caught:
        shaken(SSL.Connection(client, None), SSL.Connection(server, None))
    assert openssl_error_text(caught.value) in {"unsupported protocol", "tlsv1 alert protocol version"}


@pytest.mark.parametrize("method", [SSL.TLS_CLIENT_METHOD, SSL.TLS_SERVER_METHOD])
def test_no_context_compresses_renegotiates_or_keeps_sessions(method):
    context = new_context(method)
    options = context.set_options(0)
    assert options & SSL.OP_NO_COMPRESSION
    assert options & SSL.OP_NO_RENEGOTIATION
    assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF


def test_without_tls_the_description_is_empty():
    with socket.socket() as handle:
        assert protocol_and_cipher(Transport(handle)) == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            SSL.Error([("SSL routines", "", "wrong version number"), ("lib", "", "bad key")]),
            "wrong version number, bad key",
        ),
        (SSL.Error([("SSL routines", "", ""), ()]), ""),
        (SSL.Error([]), ""),
        (SSL.ZeroReturnError(), ""),
        (SSL.SysCallError(-1, "Unexpected EOF"), ""),
    ],
)
def test_the_error_text_of_openssl_becomes_one_line(error, words):
    assert openssl_error_text(error) == words
