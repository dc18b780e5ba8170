"""The certificate that the relay shows to its smarthost, from SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH."""

import datetime as dt
from collections.abc import Callable

from OpenSSL import SSL

from mta.message.dates import utc
from mta.tls.context import new_context
from mta.tls.pem_files import CertificateError, ChainAndKey, PemFiles, load, read_files

#: The beginning of the names of the two settings.
PREFIX = "SMARTHOST_"
# The time before its end at which a certificate is reported.
_SOON = dt.timedelta(days=7)


class ClientCertificate:
    """Keeps the pair in use, in `pair`.

    `wall_clock` gives seconds since 1970; `notice` and `trouble` take lines for the operator.
    """

    def __init__(
        self,
        files: PemFiles,
        *,
        wall_clock: Callable[[], float],
        notice: Callable[[str], object],
        trouble: Callable[[str], object],
    ) -> None:
        """Use the pair in these files. Raises CertificateError if they hold none that can be used."""
        self._files = files
        self._wall_clock = wall_clock
        self._notice = notice
        self._trouble = trouble
        self.pair = checked(files)
        self._tell_dates()

    def reload(self) -> None:
        """Read the files again; if they cannot be used, report that and keep the pair in use."""
        try:
            files = read_files(self._files.certificate_path, self._files.key_path, PREFIX)
            self.pair = checked(files)
        except CertificateError as error:
            self._trouble(f"{error}; until then the old certificate is shown to the smarthost")
            return
        self._files = files
        self._tell_dates()

    def _tell_dates(self) -> None:
        leaf = self.pair.chain[0]
        now, begin, end = utc(self._wall_clock()), leaf.not_valid_before_utc, leaf.not_valid_after_utc
        if now > end:
            problem = f"expired on {end:%Y-%m-%d}, and the smarthost may refuse it; renew it"
        elif now < begin:
            problem = f"is valid from {begin:%Y-%m-%d %H:%M} UTC only; check this host's clock"
        elif end - now < min(_SOON, (end - begin) / 3):
            problem = f"expires on {end:%Y-%m-%d}; renew it, and send the relay SIGHUP"
        else:
            return
        self._notice(f"{self._files.certificate_setting}: the certificate {problem}")


def checked(files: PemFiles) -> ChainAndKey:
    """Return the pair in these files. Raises CertificateError if it cannot be used by a client."""
    pair = load(files)
    pair.present(new_context(SSL.TLS_CLIENT_METHOD))
    return pair
