"""A client that speaks TLS over a blocking socket from the first octet, and that may send its first octets itself."""

import socket
from contextlib import suppress

from OpenSSL import SSL


class TlsClient:
    """One client, which trusts every certificate."""

    def __init__(self, version: int = SSL.TLS1_3_VERSION) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()
        #: The first octets, which the caller sends.
        self.hello = self._handshake()

    def converse(self, plain: socket.socket, data: bytes) -> bytes:
        """End the handshake behind `hello`, send data together with its last flight, and return the whole answer."""
        while not self._established:
            self._tls.bio_write(plain.recv(65536))
            flight = self._handshake()
            if not self._established:
                plain.sendall(flight)
        self._tls.send(data)
        self._tls.shutdown()
        plain.sendall(flight + self._tls.bio_read(65536))
        return self._rest(plain)

    @property
    def _established(self) -> bool:
        return self._tls.get_finished() is not None and self._tls.get_peer_finished() is not None

    def _handshake(self) -> bytes:
        with suppress(SSL.WantReadError):
            self._tls.do_handshake()
        try:
            return self._tls.bio_read(65536)
        except SSL.WantReadError:
            return b""

    def _rest(self, plain: socket.socket) -> bytes:
        said = b""
        while True:
            try:
                said += self._tls.recv(65536)
            except SSL.WantReadError:
                if not (data := plain.recv(65536)):
                    return said
                self._tls.bio_write(data)
            except SSL.ZeroReturnError:
                return said
