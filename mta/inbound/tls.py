"""TLS on the listening side."""

from typing import Any

from OpenSSL import SSL


def describe(transport: Any) -> str:
    """Return protocol and cipher of a connection for the trace header, `TLSv1.3 TLS_AES_256_GCM_SHA384`."""
    handle = transport.getHandle()
    if not isinstance(handle, SSL.Connection):
        return ""
    return f"{handle.get_protocol_version_name()} {handle.get_cipher_name() or ''}".strip()
