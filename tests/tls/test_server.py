"""The server's certificate: handshakes with clients, and reloading when its files change."""

import contextlib
import os
import smtplib
import socket
import ssl
import tempfile
import time
from pathlib import Path
from typing import cast

import pytest
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from harness.certificates import Leaf, authority
from harness.waiting import PATIENCE
from mta.event_log.log import EventLog
from mta.tls.server import CertificateError, ServerCertificate
from tests.drivers.listener import NAME, Listening

ROOT = authority()
FIRST = ROOT.leaf([NAME, "first.test"])
SECOND = ROOT.leaf([NAME, "second.test"])
DAY = 86400.0


class Files:
    """A folder with a pair in it, and what was said about them."""

    def __init__(self, folder: Path, leaf: Leaf = FIRST) -> None:
        self.folder = folder
        self.now = leaf.certificate.not_valid_after_utc.timestamp() - 20 * DAY
        self.notices: list[str] = []
        self.troubles: list[str] = []
        self.paths = leaf.write(folder)
        self.certificate = ServerCertificate(
            *self.paths, wall_clock=lambda: self.now, notice=self.notices.append, trouble=self.troubles.append
        )

    def replace(self, which: int, content: bytes) -> None:
        """Put a new file in the place of the certificate (0) or the key (1), as programs that renew do."""
        new = self.folder / "new"
        new.write_bytes(content)
        new.replace(self.paths[which])

    def replace_both(self, leaf: Leaf) -> None:
        self.replace(0, leaf.certificate_pem)
        self.replace(1, leaf.key_pem)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def test_it_provides_the_interface_of_twisted(files):
    verifyObject(IOpenSSLServerConnectionCreator, files.certificate)


def test_a_pair_that_does_not_fit_is_an_error_at_once(tmp_path):
    certificate, _ = FIRST.write(tmp_path, "first")
    _, key = SECOND.write(tmp_path, "second")
    with pytest.raises(CertificateError):
        ServerCertificate(certificate, key, wall_clock=lambda: 0.0, notice=str, trouble=str)


def test_a_new_pair_is_used_and_logged(files):
    files.replace_both(SECOND)
    for _ in range(3):
        files.certificate.check()
    assert str(files.certificate).startswith(f"{NAME} second.test, until ")
    assert files.notices == [f"CERTIFICATE_PATH={files.paths[0]}: the new certificate is in use ({files.certificate})"]
    assert files.troubles == []


def test_there_is_no_notice_while_the_files_stay_the_same(files):
    for _ in range(3):
        files.certificate.check()
    assert files.notices == files.troubles == []


def test_a_mismatch_between_two_writes_is_not_reported(files):
    files.replace(0, SECOND.certificate_pem)
    files.certificate.check()
    assert "first.test" in str(files.certificate)
    files.replace(1, SECOND.key_pem)
    files.certificate.check()
    assert "second.test" in str(files.certificate)
    assert files.troubles == []


def test_a_broken_new_pair_is_reported_once_and_the_old_one_stays(files):
    files.replace(1, SECOND.key_pem)
    for _ in range(4):
        files.certificate.check()
    assert "first.test" in str(files.certificate)
    (words,) = files.troubles
    assert words.startswith(f"KEY_PATH={files.paths[1]} is not the key of CERTIFICATE_PATH={files.paths[0]}")
    assert "uses the old certificate" in words


def test_a_reload_reports_a_bad_pair_each_time_and_the_same_pair_never(files):
    files.certificate.reload()
    assert files.troubles == files.notices == []
    files.replace(1, SECOND.key_pem)
    for told in (1, 2):
        files.certificate.reload()
        assert len(files.troubles) == told
    files.replace(0, SECOND.certificate_pem)
    files.certificate.reload()
    assert "second.test" in str(files.certificate)
    assert len(files.notices) == 1


def cut(pem: bytes) -> bytes:
    """Return a PEM file whose end did not arrive."""
    return pem[: len(pem) * 2 // 3]


EXPIRED = ROOT.leaf([NAME, "expired.test"], expired=True)
BROKEN = {
    "the certificate is cut short": (cut(SECOND.certificate_pem), SECOND.key_pem, "CERTIFICATE_PATH"),
    "the certificate is empty": (b"", SECOND.key_pem, "CERTIFICATE_PATH"),
    "the certificate is no PEM": (
        SECOND.certificate_pem.replace(b"-----", b"====="),
        SECOND.key_pem,
        "CERTIFICATE_PATH",
    ),
    "the certificate is damaged": (SECOND.certificate_pem.replace(b"MII", b"AAA"), SECOND.key_pem, "CERTIFICATE_PATH"),
    "the key is in its place": (SECOND.key_pem, SECOND.key_pem, "CERTIFICATE_PATH"),
    "the key is cut short": (SECOND.certificate_pem, cut(SECOND.key_pem), "KEY_PATH"),
    "the key is empty": (SECOND.certificate_pem, b"", "KEY_PATH"),
    "the key is another's": (SECOND.certificate_pem, FIRST.key_pem, "KEY_PATH"),
    "the certificate is another's": (FIRST.certificate_pem, SECOND.key_pem, "KEY_PATH"),
    "the root comes first": (ROOT.certificate_pem + SECOND.certificate_pem, SECOND.key_pem, "CERTIFICATE_PATH"),
    "it has expired": (EXPIRED.certificate_pem, EXPIRED.key_pem, "CERTIFICATE_PATH"),
}


def shown(certificate: ServerCertificate) -> list[str]:
    """Shake hands with a client that trusts our authority, and return the names it is shown."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context().wrap_bio(to_client, to_server, server_hostname=NAME)
    server = certificate.serverConnectionForTLS(cast(TLSMemoryBIOProtocol, None))
    server.set_accept_state()
    for _ in range(6):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        if to_server.pending:
            server.bio_write(to_server.read())
        with contextlib.suppress(SSL.WantReadError):
            server.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            to_client.write(server.bio_read(1 << 16))
    found = client.getpeercert()
    assert found is not None
    return [str(name) for _, name in found["subjectAltName"]]


@pytest.mark.parametrize("what", BROKEN)
def test_a_new_certificate_that_cannot_be_used_is_reported_and_handshakes_use_the_old_one(tmp_path, what):
    files = Files(tmp_path)
    # Now, as the client's clock has it, so that what expired yesterday has.
    files.now = time.time()
    certificate, key, setting = BROKEN[what]
    files.replace(0, certificate)
    files.replace(1, key)
    for _ in range(3):
        files.certificate.check()
        assert shown(files.certificate) == [NAME, "first.test"]
    (words,) = files.troubles
    assert words.startswith(f"{setting}={files.paths[setting == 'KEY_PATH']}")
    assert "until then STARTTLS uses the old certificate" in words
    assert "\n" not in words
    files.replace_both(SECOND)
    files.certificate.check()
    assert shown(files.certificate) == [NAME, "second.test"]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("instead", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
def test_a_path_that_cannot_be_read_keeps_the_old_pair_without_blocking(tmp_path, which, instead):
    files = Files(tmp_path)
    files.paths[which].unlink()
    instead(files.paths[which])
    for _ in range(3):
        files.certificate.check()
    assert shown(files.certificate) == [NAME, "first.test"]
    assert len(files.troubles) == 1


def test_where_the_one_in_use_has_ended_too_a_new_one_that_has_ended_is_taken(tmp_path):
    files = Files(tmp_path, ROOT.leaf([NAME, "first.test"], expired=True))
    files.now = time.time()
    files.replace_both(EXPIRED)
    files.certificate.check()
    assert "expired.test" in str(files.certificate)


def test_another_broken_pair_is_reported_again(files):
    for content in (b"nonsense", b"more nonsense"):
        files.replace(1, content)
        files.certificate.check()
        files.certificate.check()
    assert len(files.troubles) == 2


def test_missing_files_are_reported_and_may_come_back(files):
    for path in files.paths:
        path.rename(f"{path}.away")
    for _ in range(3):
        files.certificate.check()
    assert len(files.troubles) == 1
    for path in files.paths:
        Path(f"{path}.away").rename(path)
    files.certificate.check()
    assert len(files.troubles) == 1


def test_a_link_that_points_elsewhere_is_a_change(tmp_path):
    files = Files(tmp_path)
    for leaf, number in ((FIRST, 1), (SECOND, 2)):
        (tmp_path / f"v{number}").mkdir()
        leaf.write(tmp_path / f"v{number}")
    for path in files.paths:
        path.unlink()
        path.symlink_to(tmp_path / "data" / path.name)
    (tmp_path / "data").symlink_to("v1")
    files.certificate.check()
    os.symlink("v2", tmp_path / "tmp")
    (tmp_path / "tmp").replace(tmp_path / "data")
    files.certificate.check()
    assert "second.test" in str(files.certificate)


def test_an_expired_certificate_is_used_with_a_notice(tmp_path):
    expired = ROOT.leaf([NAME], expired=True)
    files = Files(tmp_path, expired)
    files.now += 30 * DAY
    for _ in range(3):
        files.certificate.check()
    (words,) = files.notices
    assert words.startswith(f"CERTIFICATE_PATH={files.paths[0]}: the certificate expired on ")


def context() -> ssl.SSLContext:
    """Return a client's settings that trust our authority alone."""
    trusting = ssl.create_default_context(cadata=ROOT.certificate_pem.decode())
    trusting.minimum_version = ssl.TLSVersion.TLSv1_2
    return trusting


class Resuming:
    """A client's settings that offer to go on with an earlier session."""

    def __init__(self, using: ssl.SSLContext, session: ssl.SSLSession) -> None:
        self._using = using
        self._session = session

    def wrap_socket(self, plain: socket.socket, server_hostname: str) -> ssl.SSLSocket:
        return self._using.wrap_socket(plain, server_hostname=server_hostname, session=self._session)


class Client(smtplib.SMTP):
    """A client from this address, with TLS on; the certificate is checked against our name."""

    def __init__(self, port: int, source: str = "127.0.0.1", using: ssl.SSLContext | Resuming | None = None) -> None:
        super().__init__("127.0.0.1", port, "client.test", timeout=PATIENCE, source_address=(source, 0))
        self._host = NAME
        assert self.starttls(context=using or context())[0] == 220

    @property
    def names(self) -> str:
        assert isinstance(self.sock, ssl.SSLSocket)
        return str(self.sock.getpeercert()["subjectAltName"])


class StartTlsTests(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.files = Files(Path(folder.name))
        self.parts = Listening(starttls=True)
        self.parts.factory.certificate = self.files.certificate
        self.first_line: Deferred[str] = Deferred()
        self.parts.event_log = EventLog(self.hear, self.parts.clock.seconds)
        port = reactor.listenTCP(0, self.parts.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.parts.factory.stop)
        self.port = port.getHost().port

    def bodies(self) -> list[bytes]:
        return [b"".join(claim.body.chunks()) for claim in self.parts.delivery.taken]

    def hear(self, line: str) -> None:
        if not self.first_line.called:
            self.first_line.callback(line)

    async def test_mail_comes_in_over_tls_and_its_trace_says_so(self) -> None:
        def send() -> None:
            with Client(self.port) as client:
                client.sendmail("a@a.test", "b@b.test", "Subject: hi\r\n\r\nhello")

        await deferToThread(send)
        (body,) = self.bodies()
        assert b"with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)" in body.replace(b"\r\n\t", b" ")

    async def test_tls_1_2_is_spoken_with_forward_secrecy(self) -> None:
        def check() -> object:
            old = context()
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with Client(self.port, using=old) as client:
                return client.sock.version(), client.sock.cipher()[0]

        assert await deferToThread(check) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")

    async def test_the_servers_order_of_ciphers_counts(self) -> None:
        def check() -> object:
            weakest_first = context()
            weakest_first.maximum_version = ssl.TLSVersion.TLSv1_2
            weakest_first.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-GCM-SHA256")
            with Client(self.port, using=weakest_first) as client:
                return client.sock.cipher()[0]

        assert await deferToThread(check) == "ECDHE-ECDSA-AES128-GCM-SHA256"

    async def test_no_session_is_resumed(self) -> None:
        def check() -> bool:
            using = context()
            with Client(self.port, using=using) as client:
                client.noop()
                assert isinstance(client.sock, ssl.SSLSocket)
                kept = Resuming(using, client.sock.session)
            with Client(self.port, using=kept) as client:
                client.noop()
                return client.sock.session_reused

        assert await deferToThread(check) is False

    async def test_after_a_renewal_new_connections_see_the_new_certificate_and_old_ones_go_on(self) -> None:
        before = await deferToThread(Client, self.port)
        self.files.replace_both(SECOND)
        self.files.certificate.check()

        def compare() -> tuple[str, str]:
            with Client(self.port) as after, before:
                assert before.noop()[0] == 250
                return before.names, after.names

        old, new = await deferToThread(compare)
        assert "first.test" in old
        assert "second.test" in new

    async def test_an_untrusted_client_is_refused_over_tls_too(self) -> None:
        def send() -> None:
            with Client(self.port, "127.0.0.2") as client, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
                client.sendmail("a@a.test", "b@b.test", "Subject: hi\r\n\r\nhello")
            assert caught.value.recipients["b@b.test"][1].startswith(b"5.7.1 relay not permitted")

        await deferToThread(send)
        assert self.bodies() == []

    async def test_a_client_that_does_not_trust_the_certificate_is_logged_with_its_reason(self) -> None:
        def attempt() -> None:
            with pytest.raises(ssl.SSLCertVerificationError):
                Client(self.port, using=ssl.create_default_context())

        await deferToThread(attempt)
        line = await self.first_line
        assert "session-ended client=127.0.0.1 helo=client.test" in line
        assert "TLS failed: " in line
        assert "unknown ca" in line

    async def test_garbage_in_place_of_a_handshake_ends_the_connection_with_one_line(self) -> None:
        def attempt() -> bytes:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client:
                stream = client.makefile("rb")
                assert stream.readline().startswith(b"220")
                client.sendall(b"HELO client.test\r\n")
                assert stream.readline().startswith(b"250")
                client.sendall(b"STARTTLS\r\n")
                assert stream.readline().startswith(b"220")
                client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
                return stream.read()

        rest = await deferToThread(attempt)
        assert b"250" not in rest
        assert self.flushLoggedErrors() == []
        line = await self.first_line
        assert "TLS failed: http request" in line
