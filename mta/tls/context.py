"""The parts of TLS that client and server share: the basic context, and descriptions for the log."""

from typing import Any

from OpenSSL import SSL


def new_context(method: int) -> SSL.Context:
    """Return a context for TLS 1.2 and newer, without compression, renegotiation or session cache.

    `method` is SSL.TLS_CLIENT_METHOD or SSL.TLS_SERVER_METHOD. The context releases buffers of idle connections.
    """
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def protocol_and_cipher(transport: Any) -> str:
    """Return protocol and cipher, as in `TLSv1.3 TLS_AES_256_GCM_SHA384`, after the handshake; "" without TLS."""
    handle = transport.getHandle()
    if not isinstance(handle, SSL.Connection):
        return ""
    return f"{handle.get_protocol_version_name()} {handle.get_cipher_name() or ''}".strip()


def openssl_error_text(error: SSL.Error) -> str:
    """Return OpenSSL's reasons on one line, the first cause first, or "" if it gave none."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(str(entry[-1]) for entry in entries if entry and entry[-1])
