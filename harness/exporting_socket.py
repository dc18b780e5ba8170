"""TLS over a blocking socket that tells its channel binding, which Python's own `ssl` cannot do."""

import socket

from OpenSSL import SSL

_LABEL, _OCTETS = b"EXPORTER-Channel-Binding", 32


class ExportingSocket:
    """The server's end of a TLS connection, with the methods of a socket that a sink uses. Raises OSError as that."""

    def __init__(self, plain: socket.socket, certificate: str, key: str) -> None:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(certificate)
        context.use_privatekey_file(key)
        # pyOpenSSL does not wait on a socket that has a time-out.
        plain.settimeout(None)
        self._plain = plain
        self._tls = SSL.Connection(context, plain)
        self._tls.set_accept_state()
        try:
            self._tls.do_handshake()
        except SSL.Error as error:
            raise OSError(str(error)) from error

    @property
    def exporter(self) -> bytes:
        """The value of tls-exporter (RFC 9266)."""
        return self._tls.export_keying_material(_LABEL, _OCTETS, b"")

    def recv(self, size: int) -> bytes:
        """Return octets, or b"" at the end."""
        try:
            return self._tls.recv(size)
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            raise OSError(str(error)) from error

    def sendall(self, data: bytes) -> None:
        """Send all octets."""
        try:
            self._tls.sendall(data)
        except SSL.Error as error:
            raise OSError(str(error)) from error

    def shutdown(self, how: int) -> None:
        """Shut down the socket below."""
        self._plain.shutdown(how)

    def close(self) -> None:
        """Close the socket below."""
        self._plain.close()
