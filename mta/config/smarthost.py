"""Chooses the smarthost: Gmail, Amazon SES, SMARTHOST_ADDRESS, or none for direct delivery, in this order."""

from collections.abc import Sequence
from typing import Any

from mta.config import table
from mta.config.setting import FILE_SUFFIX, Setting, SettingsReader
from mta.config.sources.macros import PROTOCOL, REQUIRE_TLS, VERIFY_HOSTS, Macros
from mta.routing.hostpatterns import host_address, matches
from mta.routing.route import Credentials, Smarthost, TlsRule

_GMAIL_PORT = 587
_GMAIL = (table.GMAIL_USER, table.GMAIL_PASSWORD)
_SES = (table.SES_USER, table.SES_PASSWORD)
_SES_DETAILS = (table.SES_REGION, table.SES_PORT)
_SMARTHOST = (table.SMARTHOST_USER, table.SMARTHOST_PASSWORD)
_SMARTHOST_DETAILS = (table.SMARTHOST_PORT, table.SMARTHOST_ALIASES, table.SMARTHOST_TLS)
_DIRECT = (table.SMTPPORTOUT, table.PRIVATE_DESTINATIONS)
_LAX = {
    TlsRule.NONE: "the password is used with CRAM-MD5 only; mail stays queued if the smarthost does not offer that",
    TlsRule.OPPORTUNISTIC: (
        "the password is sent in clear if the smarthost, or a host that impersonates it, does not offer TLS"
    ),
    TlsRule.REQUIRE: (
        "the password is sent to any host that impersonates the smarthost, because no certificate is checked"
    ),
}


def read_smarthost(reader: SettingsReader, macros: Macros | None = None) -> Smarthost | None:
    """Return the smarthost, or None for direct delivery. Add a notice about each setting without effect."""
    macros = macros or Macros()
    gmail = _login(reader, _GMAIL)
    if gmail:
        first = "GMAIL_USER and GMAIL_PASSWORD take precedence"
        _unused(reader, (*_SES, *_SES_DETAILS, table.SMARTHOST_ADDRESS, *_SMARTHOST, *_SMARTHOST_DETAILS), first)
        return _provider(reader, macros, ("smtp.gmail.com", _GMAIL_PORT), gmail, "*.gmail.com")
    ses = _login(reader, _SES)
    if ses:
        first = "SES_USER and SES_PASSWORD take precedence"
        _unused(reader, (table.SMARTHOST_ADDRESS, *_SMARTHOST, *_SMARTHOST_DETAILS), first)
        host = f"email-smtp.{reader.get(table.SES_REGION)}.amazonaws.com"
        return _provider(reader, macros, (host, reader.get(table.SES_PORT)), ses, "*.amazonaws.com")
    _unused(reader, _SES_DETAILS, "SES_USER and SES_PASSWORD are not both set")
    login = _login(reader, _SMARTHOST)
    if not reader.get(table.SMARTHOST_ADDRESS):
        if login:
            # Direct delivery would lose mail if port 25 is blocked or other hosts reject this host's address.
            reader.mistake(table.SMARTHOST_ADDRESS, "it is not set although SMARTHOST_USER and SMARTHOST_PASSWORD are")
        _unused(reader, _SMARTHOST_DETAILS, "SMARTHOST_ADDRESS is not set")
        _unused(reader, (table.SMARTHOST_CA_FILE,), "there is no smarthost")
        _unhonoured(reader, macros, {PROTOCOL, REQUIRE_TLS, VERIFY_HOSTS}, "there is no smarthost")
        return None
    return _own_smarthost(reader, macros, login)


def _provider(
    reader: SettingsReader, macros: Macros, host: tuple[str, int], login: Credentials, aliases: str
) -> Smarthost:
    _unused(reader, _DIRECT, "all mail goes to the smarthost")
    _unhonoured(reader, macros, {VERIFY_HOSTS}, "the certificates of Gmail and Amazon SES are always verified")
    _unhonoured(reader, macros, {PROTOCOL}, "with Gmail and Amazon SES the port determines the protocol")
    return Smarthost((host,), TlsRule.VERIFY, login, (aliases,))


def _own_smarthost(reader: SettingsReader, macros: Macros, login: Credentials | None) -> Smarthost:
    _unused(reader, _DIRECT, "all mail goes to the smarthost")
    tls = _tls_rule(reader, macros, login)
    if tls is not TlsRule.VERIFY:
        _unused(reader, (table.SMARTHOST_CA_FILE,), "the smarthost's certificate is not checked; see SMARTHOST_TLS")
    if tls is TlsRule.NONE:
        _unhonoured(reader, macros, {PROTOCOL}, "SMARTHOST_TLS=none")
    implicit = True if PROTOCOL in macros.changes else None
    return Smarthost(_hosts(reader), tls, login, _aliases(reader, login), implicit)


def _tls_rule(reader: SettingsReader, macros: Macros, login: Credentials | None) -> TlsRule:
    """Return the rule of SMARTHOST_TLS or, if it is unset, the safest rule that Exim applied with these macros."""
    tls = reader.get(table.SMARTHOST_TLS)
    if tls:
        _unhonoured(reader, macros, {REQUIRE_TLS, VERIFY_HOSTS}, "SMARTHOST_TLS is set")
    elif login or macros.changes & {PROTOCOL, REQUIRE_TLS}:
        tls = TlsRule.REQUIRE if VERIFY_HOSTS in macros.changes else TlsRule.VERIFY
    else:
        tls = TlsRule.OPPORTUNISTIC
    if login and tls in _LAX:
        said_by = f"SMARTHOST_TLS={tls.value}" if reader.is_set(table.SMARTHOST_TLS) else f"{VERIFY_HOSTS} is empty"
        reader.notice(f"{said_by}: {_LAX[tls]}")
    return tls


def _hosts(reader: SettingsReader) -> tuple[tuple[str, int], ...]:
    """Return the smarthosts with the ports that Exim's image used: it appended SMARTHOST_PORT to the list."""
    *others, (last, own_port) = reader.get(table.SMARTHOST_ADDRESS)
    if own_port is not None:
        _unused(reader, (table.SMARTHOST_PORT,), "the last host of SMARTHOST_ADDRESS has its own port")
    standard = table.SMARTHOST_PORT.value_type.read(table.SMARTHOST_PORT.default)
    ports = [(host, standard if port is None else port) for host, port in others]
    return (*ports, (last, reader.get(table.SMARTHOST_PORT) if own_port is None else own_port))


def _aliases(reader: SettingsReader, login: Credentials | None) -> tuple[str, ...] | None:
    """Return the patterns, None if unset. Add a notice if no configured host may be given the login."""
    aliases = reader.get(table.SMARTHOST_ALIASES)
    hosts = [host for host, _ in reader.get(table.SMARTHOST_ADDRESS)]
    if aliases and login is None:
        _unused(reader, (table.SMARTHOST_ALIASES,), "SMARTHOST_USER and SMARTHOST_PASSWORD are not both set")
    elif aliases and not any(matches(aliases, host_address(host) or host) for host in hosts):
        named = [host for host in hosts if not host_address(host)]
        unless = " unless a host's name is a CNAME for one that matches" if named else ""
        reader.notice(
            "SMARTHOST_ALIASES matches no host of SMARTHOST_ADDRESS: no host may be given the login, and all mail stays"
            f" queued{unless}; name the host in SMARTHOST_ALIASES, or unset it"
        )
    return aliases or None


def _login(reader: SettingsReader, pair: tuple[Setting[str], Setting[str]]) -> Credentials | None:
    """Return the credentials, or None. A user without a password, or the reverse, is a mistake.

    Mail that is sent without the login, or by another route, may be rejected permanently.
    """
    user, password = map(reader.get, pair)
    if user and password:
        return Credentials(user, password, pair[0].name.removesuffix("_USER"))
    given, missing = pair if user else reversed(pair)
    if (user or password) and not reader.is_mistaken(missing):
        file = missing.name + FILE_SUFFIX
        empty = f"the file that {file} names is empty" if file in reader.names() else "it is not set"
        reader.mistake(missing, f"{empty} although {given.name} is set: half a login is none")
    return None


def _unused(reader: SettingsReader, settings: Sequence[Setting[Any]], because: str) -> None:
    for setting in settings:
        if reader.is_non_default(setting):
            reader.notice(f"{setting.name} has no effect: {because}")


def _unhonoured(reader: SettingsReader, macros: Macros, names: set[str], because: str) -> None:
    for name in sorted(macros.changes & names):
        reader.notice(f"{name} in the macros file has no effect: {because}")
