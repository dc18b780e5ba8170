"""Reads the database of a queue that several relays share, and the name of this relay among them."""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mta.config import table
from mta.config.setting import SettingsReader

if TYPE_CHECKING:
    from mta.queue.postgres.url import Server

_OTHERS = (table.QUEUE_PASSWORD, table.NODE_NAME)
_DRIVER = "psycopg"
# Files with the system's authorities, in Debian and Alpine, in Fedora, and in SUSE.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
# libpq's word for the authorities with which its TLS library was built.
_LIBRARYS_OWN = "system"


@dataclass(frozen=True, slots=True)
class SharedQueue:
    """The database of the queue, and the name of this relay for people."""

    server: "Server"
    node_name: str


def read_shared_queue(
    reader: SettingsReader,
    host_name: Callable[[], str],
    load_driver: Callable[[], object] = lambda: importlib.import_module(_DRIVER),
) -> SharedQueue | None:
    """Return the shared queue, or None if QUEUE_URL is unset or wrong. `load_driver` raises ImportError.

    A missing driver is a mistake that names the package to install.
    """
    url = reader.get(table.QUEUE_URL)
    if not url:
        if not reader.is_mistaken(table.QUEUE_URL):
            for setting in _OTHERS:
                if reader.is_set(setting):
                    reader.notice(f"{setting.name} has no effect: QUEUE_URL is not set")
        return None
    from mta.queue.postgres.url import read_server  # noqa: PLC0415  few relays share their queue

    server = read_server(url, authorities=_authorities())
    try:
        server = server.with_password(reader.get(table.QUEUE_PASSWORD))
    except ValueError as error:
        reader.mistake(table.QUEUE_PASSWORD, str(error))
    try:
        load_driver()
    except ImportError:
        words = "the driver of PostgreSQL is not installed: pip install 'smtprelay[postgres]'"
        reader.mistake(table.QUEUE_URL, words)
    if server.unverified:
        reader.notice(
            f"QUEUE_URL has sslmode={server.unverified}: the server need not prove its name, so others on the network"
            " may read the mail; leave it out, and name the authority in sslrootcert"
        )
    return SharedQueue(server, reader.get(table.NODE_NAME) or host_name())


def _authorities() -> str:
    """Return the file with the system's authorities, because a driver that brings its own TLS does not find it."""
    return next(filter(os.path.exists, (os.environ.get("SSL_CERT_FILE", ""), *_AUTHORITIES)), _LIBRARYS_OWN)
