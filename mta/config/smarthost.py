"""Chooses the smarthost: Gmail, Microsoft 365, Amazon SES, SMARTHOST_ADDRESS, or none for direct delivery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mta.config import table
from mta.config.logins.smarthost_login import (
    O365,
    SES,
    SMARTHOST,
    SmarthostLogin,
    gmail_login,
    o365_login,
    own_login,
    ses_login,
)
from mta.config.setting import Setting, SettingsReader
from mta.config.sources.macros import PROTOCOL, REQUIRE_TLS, VERIFY_HOSTS, Macros
from mta.routing.hostpatterns import host_address, matches
from mta.routing.route import Credentials, Smarthost, TlsRule, TokenCredentials

if TYPE_CHECKING:
    from mta.oauth.grants import Grant

_SUBMISSION = 587
_SES_DETAILS = (table.SES_REGION, table.SES_PORT)
_SMARTHOST_DETAILS = (
    table.SMARTHOST_PORT,
    table.SMARTHOST_ALIASES,
    table.SMARTHOST_TLS,
    table.SMARTHOST_TOKEN_SCOPE,
    table.SMARTHOST_CERTIFICATE_PATH,
    table.SMARTHOST_KEY_PATH,
)
_OWN = (table.SMARTHOST_ADDRESS, *SMARTHOST, *_SMARTHOST_DETAILS)
_DIRECT = (
    table.SMTPPORTOUT,
    table.PRIVATE_DESTINATIONS,
    table.TLS_POLICY,
    table.MTA_STS,
    table.DANE,
    table.DNSSEC,
    table.TLSRPT_FROM,
)
#: The risk of a password by the TLS that is required, if that is less than a proof of the host's name.
LAX_LOGIN: Mapping[TlsRule, str] = {
    TlsRule.NONE: (
        "the password is used with SCRAM-SHA-256 or CRAM-MD5 only; mail stays queued if the smarthost offers neither"
    ),
    TlsRule.OPPORTUNISTIC: (
        "the password is sent in clear if the smarthost, or a host that impersonates it, does not offer TLS"
    ),
    TlsRule.REQUIRE: (
        "the password is sent to any host that impersonates the smarthost, because no certificate is checked"
    ),
}
# A token is never sent in clear.
_LAX_GRANT = "the token is sent to any host that impersonates the smarthost, because no certificate is checked"


@dataclass(frozen=True, slots=True)
class SmarthostChoice:
    """The smarthost, None for direct delivery, with the grant of its tokens and the certificate that it is shown."""

    smarthost: Smarthost | None = None
    grant: "Grant | None" = None
    certificate: tuple[Path, Path] | None = None


def read_smarthost(
    reader: SettingsReader, macros: Macros | None = None, certificate: tuple[Path, Path] | None = None
) -> SmarthostChoice:
    """Return the choice of the smarthost. Add a notice about each setting without effect.

    `certificate` is the client certificate and its key, if they are set.
    """
    macros = macros or Macros()
    if login := gmail_login(reader):
        _unused(reader, (*O365, table.O365_CLOUD, *SES, *_SES_DETAILS, *_OWN), f"{login.given} take precedence")
        return _provider(reader, macros, ("smtp.gmail.com", _SUBMISSION), login)
    if login := o365_login(reader):
        _unused(reader, (*SES, *_SES_DETAILS, *_OWN), f"{login.given} take precedence")
        from mta.oauth.providers import CLOUDS, Cloud  # noqa: PLC0415

        host = CLOUDS[Cloud(reader.get(table.O365_CLOUD))].smtp
        return _provider(reader, macros, (host, _SUBMISSION), login)
    _unused(reader, (table.O365_CLOUD,), "O365_USER is not set")
    if login := ses_login(reader):
        _unused(reader, _OWN, f"{login.given} take precedence")
        host = f"email-smtp.{reader.get(table.SES_REGION)}.amazonaws.com"
        return _provider(reader, macros, (host, reader.get(table.SES_PORT)), login, "*.amazonaws.com")
    _unused(reader, _SES_DETAILS, "SES_USER and SES_PASSWORD are not both set")
    login = own_login(reader, certificate=certificate is not None)
    if reader.get(table.SMARTHOST_ADDRESS):
        return _own_smarthost(reader, macros, login, certificate)
    if login:
        # Direct delivery would lose mail if port 25 is blocked or other hosts reject this host's address.
        reader.mistake(table.SMARTHOST_ADDRESS, f"it is not set although {login.given} are")
    _unused(reader, _SMARTHOST_DETAILS, "SMARTHOST_ADDRESS is not set")
    _unused(reader, (table.SMARTHOST_CA_FILE,), "there is no smarthost")
    _unhonoured(reader, macros, {PROTOCOL, REQUIRE_TLS, VERIFY_HOSTS}, "there is no smarthost")
    return SmarthostChoice()


def note_unused_direct_settings(reader: SettingsReader) -> None:
    """Add a notice about each setting that counts for hosts by MX alone, because no mail goes to such hosts."""
    _unused(reader, _DIRECT, "all mail goes to the smarthost")


def _provider(
    reader: SettingsReader, macros: Macros, host: tuple[str, int], login: SmarthostLogin, aliases: str = ""
) -> SmarthostChoice:
    """Return a provider's host. `aliases` is the pattern of its hosts, by default the others beside this one."""
    providers = "Gmail, Microsoft 365 and Amazon SES"
    _unhonoured(reader, macros, {VERIFY_HOSTS}, f"the certificates of {providers} are always verified")
    _unhonoured(reader, macros, {PROTOCOL}, f"with {providers} the port determines the protocol")
    aliases = aliases or f"*.{host[0].partition('.')[2]}"
    place = f"{login.credentials.settings}_USER"
    ca_file = reader.get(table.SMARTHOST_CA_FILE)
    smarthost = Smarthost((host,), TlsRule.VERIFY, login.credentials, (aliases,), place=place, ca_file=ca_file)
    return SmarthostChoice(smarthost, login.grant)


def _own_smarthost(
    reader: SettingsReader, macros: Macros, login: SmarthostLogin | None, certificate: tuple[Path, Path] | None
) -> SmarthostChoice:
    tls = _tls_rule(reader, macros, login)
    if tls is not TlsRule.VERIFY and not (login and login.grant):
        _unused(reader, (table.SMARTHOST_CA_FILE,), "the smarthost's certificate is not checked; see SMARTHOST_TLS")
    if tls is TlsRule.NONE:
        _unhonoured(reader, macros, {PROTOCOL}, "SMARTHOST_TLS=none")
        _unused(reader, (table.SMARTHOST_CERTIFICATE_PATH,), "SMARTHOST_TLS=none")
        certificate = None
    if not (login and login.grant):
        _unused(reader, (table.SMARTHOST_TOKEN_SCOPE,), "SMARTHOST_TOKEN_URL is not set")
    implicit = True if PROTOCOL in macros.changes else None
    aliases = _aliases(reader, login)
    smarthost = Smarthost(
        _hosts(reader),
        tls,
        login.credentials if login else None,
        aliases,
        implicit,
        ca_file=reader.get(table.SMARTHOST_CA_FILE),
        client_certificate=certificate is not None,
    )
    return SmarthostChoice(smarthost, login.grant if login else None, certificate)


def _tls_rule(reader: SettingsReader, macros: Macros, login: SmarthostLogin | None) -> TlsRule:
    """Return the rule of SMARTHOST_TLS or, if it is unset, the safest rule that Exim applied with these macros."""
    tls = reader.get(table.SMARTHOST_TLS)
    if tls:
        _unhonoured(reader, macros, {REQUIRE_TLS, VERIFY_HOSTS}, "SMARTHOST_TLS is set")
    elif login or macros.changes & {PROTOCOL, REQUIRE_TLS}:
        tls = TlsRule.REQUIRE if VERIFY_HOSTS in macros.changes else TlsRule.VERIFY
    else:
        tls = TlsRule.OPPORTUNISTIC
    if login and tls in LAX_LOGIN:
        _weigh(reader, tls, login)
    return tls


def _weigh(reader: SettingsReader, tls: TlsRule, login: SmarthostLogin) -> None:
    """Add a notice about a login over TLS that proves nothing. Without TLS, only a password can be used."""
    if isinstance(login.credentials, Credentials):
        words = LAX_LOGIN[tls]
    elif tls is TlsRule.NONE:
        reader.mistake(table.SMARTHOST_TLS, f"the login of {login.given} needs TLS")
        return
    elif isinstance(login.credentials, TokenCredentials):
        words = _LAX_GRANT
    else:
        return
    said_by = f"SMARTHOST_TLS={tls.value}" if reader.is_set(table.SMARTHOST_TLS) else f"{VERIFY_HOSTS} is empty"
    reader.notice(f"{said_by}: {words}")


def _hosts(reader: SettingsReader) -> tuple[tuple[str, int], ...]:
    """Return the smarthosts with the ports that Exim's image used: it appended SMARTHOST_PORT to the list."""
    *others, (last, own_port) = reader.get(table.SMARTHOST_ADDRESS)
    if own_port is not None:
        _unused(reader, (table.SMARTHOST_PORT,), "the last host of SMARTHOST_ADDRESS has its own port")
    standard = table.SMARTHOST_PORT.value_type.read(table.SMARTHOST_PORT.default)
    ports = [(host, standard if port is None else port) for host, port in others]
    return (*ports, (last, reader.get(table.SMARTHOST_PORT) if own_port is None else own_port))


def _aliases(reader: SettingsReader, login: SmarthostLogin | None) -> tuple[str, ...] | None:
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


def _unused(reader: SettingsReader, settings: Sequence[Setting[Any]], because: str) -> None:
    for setting in settings:
        if reader.is_non_default(setting):
            reader.notice(f"{setting.name} has no effect: {because}")


def _unhonoured(reader: SettingsReader, macros: Macros, names: set[str], because: str) -> None:
    for name in sorted(macros.changes & names):
        reader.notice(f"{name} in the macros file has no effect: {because}")
