"""The channel binding of a TLS connection, to which both ends can bind a login (RFC 5056)."""

from typing import Any

from OpenSSL import SSL

from mta.smtp.sasl.logins import ChannelBinding

_LABEL, _OCTETS = b"EXPORTER-Channel-Binding", 32


def channel_binding(transport: Any, *, server: bool = False) -> ChannelBinding | None:
    """Return the binding of a connection after its handshake; None without TLS. `server` says which end this is.

    In TLS 1.3 it is `tls-exporter` (RFC 9266). In TLS 1.2 it is `tls-unique` (RFC 5929 section 3): the first message
    Finished, which is the client's, because the relay resumes no sessions.
    """
    handle = transport.getHandle()
    if not isinstance(handle, SSL.Connection):
        return None
    if handle.get_protocol_version() >= SSL.TLS1_3_VERSION:
        return ChannelBinding("tls-exporter", handle.export_keying_material(_LABEL, _OCTETS, b""))
    finished = handle.get_peer_finished() if server else handle.get_finished()
    return None if finished is None else ChannelBinding("tls-unique", finished)
