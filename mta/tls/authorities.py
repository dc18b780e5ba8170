"""The authorities whose signatures on the certificates of other hosts count. They can be read again."""

from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from mta.routing.route import Route
from mta.tls.client import ClientOptions, Trust, client_options, forget_contexts


class Authorities:
    """Those of the system, or those of SMARTHOST_CA_FILE in their place. `trouble` takes lines for the operator."""

    def __init__(self, path: Path | None, trouble: Callable[[str], object]) -> None:
        """Read them. Raises OSError."""
        self._path = path
        self._trouble = trouble
        self._trust = Trust() if path is None else Trust(path.read_bytes(), system=False)

    def options(self, route: Route) -> ClientOptions:
        """Return the options for the TLS of a connection to this route."""
        return client_options(route, self._trust)

    def reload(self) -> None:
        """Read the authorities again for connections to come; a file that cannot be used changes nothing."""
        if self._path is not None:
            try:
                roots = self._path.read_bytes()
                x509.load_pem_x509_certificates(roots)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else "it holds no certificates as PEM"
                self._trouble(f"SMARTHOST_CA_FILE={self._path}: {why}; the authorities known so far stay in use")
                return
            self._trust = Trust(roots, system=False)
        forget_contexts()
