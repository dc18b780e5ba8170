"""Reads the settings of the operator's page and its API: address, password, and the certificate of HTTPS."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from mta.config import table
from mta.config.setting import FILE_SUFFIX, SettingsReader
from mta.config.sources.files import page_certificate
from mta.config.value_types import write_listen

_OTHERS = (table.ADMIN_PASSWORD, table.ADMIN_CERTIFICATE_PATH, table.ADMIN_KEY_PATH)


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The address of the page and the API, their password, and the files of their certificate."""

    #: "" stands for all addresses.
    address: str
    port: int
    #: "" on a loopback address only.
    password: str = field(repr=False)
    #: The certificate and its key; None for plain HTTP.
    certificate: tuple[Path, Path] | None

    @property
    def url(self) -> str:
        """The URL of the page, with `*` for all addresses."""
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://{write_listen((self.address, self.port)) if self.address else f'*:{self.port}'}/"


def read_admin(reader: SettingsReader) -> AdminSettings | None:
    """Return the settings of the page, or None if it is off.

    An address that other hosts reach needs a password: without one it is a mistake. Without HTTPS it is a notice.
    """
    listen = reader.get(table.ADMIN_LISTEN)
    if listen is None:
        for setting in _OTHERS:
            if reader.is_set(setting):
                reader.notice(f"{setting.name} has no effect: ADMIN_LISTEN is not set")
        return None
    address, port = listen
    password = reader.get(table.ADMIN_PASSWORD)
    certificate = page_certificate(reader)
    if not _is_loopback(address):
        _check_reachable(reader, password, certificate)
    return AdminSettings(address, port, password, certificate)


def _is_loopback(address: str) -> bool:
    return bool(address) and ipaddress.ip_address(address).is_loopback


def _check_reachable(reader: SettingsReader, password: str, certificate: tuple[Path, Path] | None) -> None:
    secret = table.ADMIN_PASSWORD
    if not password and not reader.is_mistaken(secret):
        file = secret.name + FILE_SUFFIX
        empty = f"the file that {file} names is empty" if file in reader.names() else f"{secret.name} is not set"
        reader.mistake(
            table.ADMIN_LISTEN,
            f"other hosts can reach this address and {empty}; set {secret.name} or {file}, or listen on a loopback"
            " address",
        )
    if certificate is None and not (reader.is_set(table.ADMIN_CERTIFICATE_PATH) or reader.is_set(table.ADMIN_KEY_PATH)):
        reader.notice(
            f"ADMIN_LISTEN={reader.text(table.ADMIN_LISTEN)} is plain HTTP: the password and all pages can be read on"
            " the network; set ADMIN_CERTIFICATE_PATH and ADMIN_KEY_PATH, or let a proxy with HTTPS reach it alone"
        )
