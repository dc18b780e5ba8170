"""TLS as the server: the certificate of STARTTLS or HTTPS, which is reloaded when its files change (RFC 3207)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.file_stamp import FileStamp
from mta.tls.context import openssl_error_text
from mta.tls.keypair import CertificateError, KeyPair, PemFiles, dns_names, make_pair, read_files

__all__ = ["CertificateError", "CertificateSnapshot", "ServerCertificate", "tls_failure_text"]

#: Seconds between two calls of `ServerCertificate.check`.
CHECK_INTERVAL = 5.0


@dataclass(frozen=True, slots=True)
class CertificateSnapshot:
    """The files of a certificate as one process has read them, for another one that may not be allowed to."""

    files: PemFiles
    stamps: Sequence[FileStamp | None]


def tls_failure_text(reason: Failure) -> str:
    """Return one line that says how TLS failed, or "" if it did not; `reason` is the argument of `connectionLost`."""
    error = reason.value
    if not isinstance(error, SSL.Error):
        return ""
    return f"TLS failed: {openssl_error_text(error) or type(error).__name__}"


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """The options of `startTLS` for a server. New files are used for handshakes after the next call of `check`.

    `notice` and `trouble` take lines for the operator, `wall_clock` gives seconds since 1970. As text, the names in the
    certificate and its end.
    """

    def __init__(
        self,
        certificate_path: Path,
        key_path: Path,
        *,
        wall_clock: Callable[[], float],
        notice: Callable[[str], object],
        trouble: Callable[[str], object],
        snapshot: CertificateSnapshot | None = None,
        prefix: str = "",
    ) -> None:
        """Read the files, or start with those of `snapshot` until `check` finds others. Raises CertificateError.

        `prefix` comes before the names of the settings, CERTIFICATE_PATH and KEY_PATH.
        """
        self._paths = certificate_path, key_path
        self._prefix = prefix
        self._wall_clock = wall_clock
        self._notice = notice
        self._trouble = trouble
        self._stamps = self._stamp_files() if snapshot is None else snapshot.stamps
        self._files = read_files(*self._paths, prefix) if snapshot is None else snapshot.files
        self._pair = make_pair(self._files)
        # The stamps of a new pair that could not be used, and whether that was reported.
        self._rejected: Sequence[FileStamp | None] = ()
        self._rejection_reported = False
        self._problem = ""
        self._check_dates()

    def __str__(self) -> str:
        return str(self._pair)

    @property
    def ends(self) -> float:
        """When the certificate in use expires, seconds since 1970."""
        return self._pair.certificate.not_valid_after_utc.timestamp()

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names in the certificate in use."""
        return dns_names(self._pair.certificate)

    @property
    def snapshot(self) -> CertificateSnapshot:
        """The files of the pair in use, including the key, for another process."""
        return CertificateSnapshot(self._files, self._stamps)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: ARG002, N802
        """Create the connection; called by Twisted."""
        return SSL.Connection(self._pair.context, None)

    def check(self) -> None:
        """Use new files if there are any. If they cannot be used, report that once and keep the old pair."""
        stamps = self._stamp_files()
        if stamps == self._stamps:
            self._rejected = ()
        elif stamps != self._rejected or not self._rejection_reported:
            self._load(stamps)
        self._check_dates()

    def reload(self) -> None:
        """Read the files now, changed or not. If they cannot be used, report that each time and keep the old pair."""
        stamps = self._stamp_files()
        self._rejected, self._problem = stamps, ""
        self._load(stamps)
        self._check_dates()

    def _load(self, stamps: Sequence[FileStamp | None]) -> None:
        try:
            files = read_files(*self._paths, self._prefix)
            if files == self._files:
                self._stamps, self._rejected = stamps, ()
                return
            self._pair = self._unexpired(make_pair(files))
        except CertificateError as error:
            # Renewal writes two files, so a mismatch is expected in between and reported only at the second check.
            self._rejection_reported = stamps == self._rejected
            self._rejected = stamps
            if self._rejection_reported:
                user = "HTTPS" if self._prefix else "STARTTLS"
                self._trouble(f"{error}; until then {user} uses the old certificate ({self})")
            return
        self._files, self._stamps, self._rejected = files, stamps, ()
        self._notice(f"{self._files.certificate_setting}: the new certificate is in use ({self})")

    def _unexpired(self, new: KeyPair) -> KeyPair:
        """Return a new pair. Raises CertificateError if it has expired and the one in use has not."""
        now = self._wall_clock()
        if new.has_ended(now) and not self._pair.has_ended(now):
            raise CertificateError(f"{self._files.certificate_setting}: {new.problem(now)}")
        return new

    def _stamp_files(self) -> Sequence[FileStamp | None]:
        return [_stamp_or_none(path) for path in self._paths]

    def _check_dates(self) -> None:
        problem = self._pair.problem(self._wall_clock())
        if problem and problem != self._problem:
            self._notice(f"{self._files.certificate_setting}: {problem}")
        self._problem = problem


def _stamp_or_none(path: Path) -> FileStamp | None:
    try:
        return FileStamp.of(path)
    except OSError:
        return None
