"""The certificate that the relay shows to its smarthost, from SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from OpenSSL import SSL

from mta.message.dates import utc
from mta.tls.context import new_context
from mta.tls.pem_files import CertificateError, ChainAndKey, PemFiles, load, read_files

#: The beginning of the names of the two settings.
PREFIX = "SMARTHOST_"
# The time before its end at which a certificate is reported.
_SOON = dt.timedelta(days=7)


class ClientCertificate:
    """Keeps the pair in use, in `pair`, and its files. `trouble` takes lines for the operator."""

    def __init__(self, files: PemFiles, trouble: Callable[[str], object]) -> None:
        """Use the pair in these files. Raises CertificateError if they hold none that can be used."""
        self.files = files
        self._trouble = trouble
        self.pair = _usable(files)

    def problem(self, now: float) -> str:
        """Return one line about the dates of the certificate at this time (seconds since 1970), or ""."""
        leaf = self.pair.chain[0]
        at, begin, end = utc(now), leaf.not_valid_before_utc, leaf.not_valid_after_utc
        if at > end:
            text = f"expired on {end:%Y-%m-%d}, and the smarthost may refuse it; renew it"
        elif at < begin:
            text = f"is valid from {begin:%Y-%m-%d %H:%M} UTC only; check this host's clock"
        elif end - at < min(_SOON, (end - begin) / 3):
            text = f"expires on {end:%Y-%m-%d}; renew it, and send the relay SIGHUP"
        else:
            return ""
        return f"{self.files.certificate_setting}: the certificate {text}"

    def reload(self) -> None:
        """Read the files again; if they cannot be used, report that and keep the pair in use."""
        try:
            files = read_files(self.files.certificate_path, self.files.key_path, PREFIX)
            self.pair = _usable(files)
        except CertificateError as error:
            self._trouble(f"{error}; until then the old certificate is shown to the smarthost")
            return
        self.files = files


def read_client_certificate(paths: tuple[Path, Path], trouble: Callable[[str], object]) -> ClientCertificate:
    """Read the files of a certificate and its key. Raises CertificateError."""
    return ClientCertificate(read_files(*paths, PREFIX), trouble)


def _usable(files: PemFiles) -> ChainAndKey:
    """Return the pair in these files. Raises CertificateError if a client cannot use it."""
    pair = load(files)
    pair.present(new_context(SSL.TLS_CLIENT_METHOD))
    return pair
