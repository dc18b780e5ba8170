"""The certificate authorities that the relay trusts: the system's, or those of the CA file of a smarthost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cryptography import x509

from mta.routing.route import Route, Smarthost
from mta.tls.client import ClientOptions, TrustAnchors, clear_contexts, client_options
from mta.tls.client_certificate import ClientCertificate

_SYSTEM = TrustAnchors()
_NO_AUTHORITY = TrustAnchors(system=False)


class TrustStore:
    """Gives each route the authorities that its host's certificate must come from, and the certificate it is shown.

    `trouble` takes lines for the operator. The smarthost of the settings is shown `certificate`, if there is one.
    """

    def __init__(
        self, path: Path | None, trouble: Callable[[str], object], certificate: ClientCertificate | None = None
    ) -> None:
        """Read SMARTHOST_CA_FILE, if it is set, which also holds for HTTPS. Raises OSError."""
        self._certificate = certificate
        self._path = path
        self._trouble = trouble
        # The authorities of each file, and its name in words.
        self._files: dict[Path, tuple[TrustAnchors, str]] = {}
        # The trouble with each file that could not be used at all.
        self._unusable: dict[Path, str] = {}
        if path is not None:
            self._files[path] = TrustAnchors(path.read_bytes(), system=False), f"SMARTHOST_CA_FILE={path}"

    def options(self, route: Route) -> ClientOptions:
        """Return the options for TLS on a connection to this route."""
        smarthost, certificate = route.smarthost, self._certificate
        if smarthost is None:
            return client_options(route)
        trust = _SYSTEM if smarthost.ca_file is None else self._authorities(smarthost.ca_file, smarthost)
        if certificate is None or not (smarthost.client_certificate and route.credentials):
            return client_options(route, trust)
        return client_options(route, trust, certificate.pair)

    def for_https(self) -> TrustAnchors:
        """Return the authorities for HTTPS: those of SMARTHOST_CA_FILE as well as the system's."""
        return _SYSTEM if self._path is None else replace(self._files[self._path][0], system=True)

    def reload(self) -> None:
        """Read all authorities again for new connections; if a file cannot be used, keep those known so far."""
        for path, (_, name) in list(self._files.items()):
            roots, problem = _read(path)
            if problem:
                self._trouble(f"{name}: {problem}; the authorities known so far stay in use")
            else:
                self._files[path] = TrustAnchors(roots, system=False), name
        clear_contexts()

    def forget_rules(self) -> None:
        """Forget the files that only rules name, because the rules have changed."""
        self._unusable.clear()
        self._files = {path: entry for path, entry in self._files.items() if path == self._path}

    def _authorities(self, path: Path, smarthost: Smarthost) -> TrustAnchors:
        """Return the authorities in a file, which is read when they are first asked for; none if it cannot be used.

        A file that could not be used is read again for each connection, but reported only once.
        """
        if known := self._files.get(path):
            return known[0]
        name = f"ca_file={path} of {smarthost.place}"
        roots, problem = _read(path)
        if problem:
            if self._unusable.get(path) != problem:
                self._unusable[path] = problem
                self._trouble(f"{name}: {problem}; until it is mended, no certificate of these hosts is trusted")
            return _NO_AUTHORITY
        self._unusable.pop(path, None)
        trust, _ = self._files[path] = TrustAnchors(roots, system=False), name
        return trust


def _read(path: Path) -> tuple[bytes, str]:
    """Return the octets of a CA file, and why it cannot be used, or ""."""
    try:
        roots = path.read_bytes()
        x509.load_pem_x509_certificates(roots)
    except OSError as error:
        return b"", error.strerror or type(error).__name__
    except ValueError:
        return b"", "it holds no certificates as PEM"
    return roots, ""
