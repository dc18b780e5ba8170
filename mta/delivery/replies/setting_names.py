"""The names of a smarthost's settings for hints to an operator: variables, or keys of a table in a rules file."""

from dataclasses import dataclass
from typing import Protocol

from mta.routing.route import AnyCredentials, CertificateCredentials, Route, Smarthost, TlsRule, TokenCredentials

# The prefix of the variables of a smarthost that is no provider.
_OWN = "SMARTHOST"
# The beginning of a place that is an entry of this setting, `TLS_POLICY=example.org=verify`.
_TLS_POLICY = "TLS_POLICY="


class SettingNames(Protocol):
    """The settings of one smarthost in words that fit into a sentence."""

    @property
    def hosts(self) -> str:
        """The setting with its hosts."""

    @property
    def ca_file(self) -> str:
        """The setting with the file of the authorities."""

    @property
    def port(self) -> str:
        """The setting with the port, and "port"."""

    @property
    def add_login(self) -> str:
        """How to give it a login: "set" and the settings."""

    def tls(self, rule: TlsRule) -> str:
        """The setting of a TLS rule with its value."""


@dataclass(frozen=True, slots=True)
class VariableNames:
    """The variables of SMARTHOST_ADDRESS, or of a provider whose name is the prefix."""

    hosts: str = "SMARTHOST_ADDRESS"
    ca_file: str = "SMARTHOST_CA_FILE"
    port: str = "SMARTHOST_PORT to the port"
    add_login: str = "set SMARTHOST_USER and SMARTHOST_PASSWORD"

    def tls(self, rule: TlsRule) -> str:
        """Return the setting of a TLS rule with its value."""
        return f"SMARTHOST_TLS={rule.value}"


@dataclass(frozen=True, slots=True)
class KeyNames:
    """The keys of a table in a rules file; `place` is the table in words."""

    place: str
    #: Whether the table is a rule that lists hosts, which have no login.
    lists_hosts: bool = False

    @property
    def hosts(self) -> str:
        """The key with the hosts."""
        return f"hosts of {self.place}"

    @property
    def ca_file(self) -> str:
        """The key with the file of the authorities."""
        return f"ca_file of {self.place}"

    @property
    def port(self) -> str:
        """The key with the port."""
        return "in hosts the port"

    @property
    def add_login(self) -> str:
        """The keys of a login, or the table that can have one."""
        if self.lists_hosts:
            return f"write a [smarthost.NAME] with user and password_file, and name it in {self.place}"
        return f"set user and password_file of {self.place}"

    def tls(self, rule: TlsRule) -> str:
        """Return the key of a TLS rule with its value."""
        return f'tls = "{rule.value}" of {self.place}'


_VARIABLES = VariableNames()


def setting_names(smarthost: Smarthost) -> SettingNames:
    """Return the names of the settings of a smarthost."""
    if smarthost.place.isidentifier():
        return _VARIABLES
    return KeyNames(smarthost.place, smarthost.lists_hosts)


def tls_setting(route: Route, rule: TlsRule) -> str:
    """Return the setting of the TLS rule of a route, with another value."""
    if route.tls_place.startswith(_TLS_POLICY):
        return f"{route.tls_place.rpartition('=')[0]}={rule.value}"
    if route.tls_place or route.smarthost is None:
        return KeyNames(route.tls_place or "a [[transport]] rule").tls(rule)
    return setting_names(route.smarthost).tls(rule)


def is_provider(route: Route) -> bool:
    """Whether the host is that of Gmail, Microsoft 365 or Amazon SES, whose rule for TLS no setting changes."""
    credentials = route.credentials
    return credentials is not None and credentials.settings.isidentifier() and credentials.settings != _OWN


def login_settings(credentials: AnyCredentials | None) -> str:
    """Return the names of the settings with the login."""
    place = _OWN if credentials is None else credentials.settings
    if not place.isidentifier():
        return f"user and password of {place}"
    match credentials:
        case CertificateCredentials():
            return f"{place}_CERTIFICATE_PATH and {place}_KEY_PATH"
        case TokenCredentials():
            return f"{place}_USER and the settings of its token"
    return f"{place}_USER and {place}_PASSWORD"


def user_setting(credentials: AnyCredentials | None) -> str:
    """Return the name of the setting with the user."""
    place = _OWN if credentials is None else credentials.settings
    return f"{place}_USER" if place.isidentifier() else f"user of {place}"


def account(credentials: AnyCredentials) -> str:
    """Return the setting that names the account at the smarthost."""
    if isinstance(credentials, CertificateCredentials):
        return f"{credentials.settings}_CERTIFICATE_PATH"
    return user_setting(credentials)


def is_of_rules(credentials: AnyCredentials | None) -> bool:
    """Whether a login is set in a rules file, where it has a password and neither tokens nor a certificate."""
    return credentials is not None and not credentials.settings.isidentifier()
