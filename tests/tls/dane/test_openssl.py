"""The verdicts on chains and TLSA records beside those of OpenSSL's own client, over real handshakes."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mta.dns.answers import TlsaRecord
from tests.tls.dane.test_chain_proof import BAD, GOOD, HOST, KEYS, problem

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing: install openssl")

# OpenSSL knows the usages of other protocols too, and takes no record whose certificate cannot be read.
_NOT_COMPARED = {"no record of a usage for mail", "octets in place of a certificate"}
CASES = [case[:3] for case in (*GOOD, *BAD) if case[0] not in _NOT_COMPARED]


@contextmanager
def server(sent: Sequence[x509.Certificate], folder: Path) -> Iterator[int]:
    """Yield the port of a server that sends these certificates to its one client."""
    leaf = KEYS[sent[0].serial_number]
    certificates, key = folder / "chain.pem", folder / "key.pem"
    certificates.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in sent))
    key.write_bytes(leaf.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener, context), daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        serving.join()


def serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as session:
            session.recv(1)
    except OSError:
        # The client has refused the chain.
        connection.close()


def openssl_accepts(port: int, records: Sequence[TlsaRecord]) -> bool:
    """Return whether OpenSSL's client finds that one of the records proves the server."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-verify_return_error", "-brief"]
    command += ["-dane_tlsa_domain", HOST, "-dane_ee_no_namechecks"]
    for each in records:
        command += ["-dane_tlsa_rrdata", f"{each.usage} {each.selector} {each.matching} {each.data.hex()}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    return "Verification: OK" in done.stdout + done.stderr


@pytest.mark.parametrize(("sent", "records"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_openssl_agrees(sent: Sequence[x509.Certificate], records: Sequence[TlsaRecord], tmp_path: Path) -> None:
    with server(sent, tmp_path) as port:
        accepted = openssl_accepts(port, records)
    assert accepted == (problem(sent, *records) is None)
