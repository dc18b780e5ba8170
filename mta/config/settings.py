"""The environment's settings as one frozen value."""

import difflib
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mta.config import files, table
from mta.config.interfaces import interface_networks
from mta.config.mode import read_smarthost
from mta.config.setting import FILE_SUFFIX, Reading, SettingsError
from mta.delivery.backoff import RetrySchedule
from mta.delivery.localrule import LocalRule
from mta.inbound.networks import LOOPBACK, Everyone, IPNetwork, Network, TrustItem, TrustList
from mta.routing.route import Smarthost
from mta.smtp.address import AddressError, parse_domain
from mta.smtp.domains import DomainList

__all__ = ["Settings", "SettingsError", "read_settings"]

_LOCALHOST = "localhost"
# Kubernetes and Docker set variables such as RELAY_SERVICE_HOST for every service that is called relay.
_LIKE_OURS = re.compile(r"(?:SMARTHOST|RELAY|GMAIL|SES)_(?!SERVICE_|PORT_[0-9])[A-Z0-9_]+")
_NEGATIVE = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator asked for. Sizes are octets."""

    port: int
    bind_ip: str
    #: None when IPv6 is disabled.
    bind_ip6: str | None
    ipv6: bool
    mailname: str
    #: Clients that may send anywhere.
    trusted: TrustList
    relay_domains: DomainList
    #: Ours: delivered as `local_delivery` says.
    local_domains: DomainList
    local_delivery: LocalRule
    #: None when there is no aliases file.
    aliases_file: Path | None
    #: What STARTTLS is offered with: both, or both None.
    certificate_path: Path | None
    key_path: Path | None
    #: The port of every MX host.
    port_out: int
    #: None for direct delivery.
    smarthost: Smarthost | None
    #: Authorities that vouch for the smarthost. None: the system's.
    smarthost_ca_file: Path | None
    #: A key or a directory of keys. None: mail is not signed.
    dkim_key_path: Path | None
    dkim_selector: str
    #: `simple` or `relaxed`, of header and of body.
    dkim_canon: tuple[str, str]
    queue_dir: Path
    mail_dir: Path
    #: Addresses and ports; none means the system's.
    dns_servers: tuple[tuple[str, int], ...]
    retry_schedule: RetrySchedule
    message_size_limit: int
    #: 0 is no limit.
    line_length_limit: int
    #: `text` or `json`.
    log_format: str
    history_days: float
    #: Whether an ordinary domain's mail may go to private, loopback and our own addresses.
    private_destinations: bool
    #: Whether to log every setting at start.
    verbose: bool
    #: Lines to log at start: what was set and has no effect, what is missing, what is unwise.
    notices: tuple[str, ...]


def own_host_name() -> str:
    """Return the host's full name, or the short one where the full one says nothing."""
    full = socket.getfqdn()
    return socket.gethostname() if full.startswith(_LOCALHOST) else full


def read_settings(
    environ: Mapping[str, str],
    *,
    host_name: Callable[[], str] = own_host_name,
    networks: Callable[[str], tuple[IPNetwork, ...]] = interface_networks,
) -> Settings:
    """Return the settings of an environment. Raises SettingsError with every mistake there is.

    `host_name` gives the host's own name, `networks` those of an interface or OSError.
    """
    reading = Reading(environ)
    for setting in table.SETTINGS:
        reading.of(setting)
    settings = _assemble(reading, host_name, networks)
    reading.check()
    return settings


def _assemble(
    reading: Reading, host_name: Callable[[], str], networks: Callable[[str], tuple[IPNetwork, ...]]
) -> Settings:
    of = reading.of
    _notice_strangers(reading)
    ipv6 = _ipv6(reading)
    certificate, key = files.certificate(reading)
    return Settings(
        port=of(table.PORT),
        bind_ip=of(table.BIND_IP),
        bind_ip6=of(table.BIND_IP6) if ipv6 else None,
        ipv6=ipv6,
        mailname=of(table.MAILNAME) or _own_name(reading, host_name()),
        trusted=_trusted(reading, networks),
        relay_domains=of(table.RELAY_DOMAINS),
        local_domains=DomainList(tuple(dict.fromkeys((_LOCALHOST, *of(table.OTHER_HOSTNAMES).patterns)))),
        local_delivery=of(table.LOCAL_DELIVERY),
        aliases_file=files.aliases(reading),
        certificate_path=certificate,
        key_path=key,
        port_out=of(table.SMTPPORTOUT),
        smarthost=read_smarthost(reading),
        smarthost_ca_file=files.authorities(reading),
        dkim_key_path=files.dkim_keys(reading),
        dkim_selector=of(table.DKIM_SELECTOR),
        dkim_canon=of(table.DKIM_CANON),
        queue_dir=of(table.QUEUE_DIR),
        mail_dir=of(table.MAIL_DIR),
        dns_servers=of(table.DNS_SERVERS),
        retry_schedule=of(table.RETRY_SCHEDULE),
        message_size_limit=of(table.MESSAGE_SIZE_LIMIT),
        line_length_limit=of(table.LINE_LENGTH_LIMIT),
        log_format=of(table.LOG_FORMAT),
        history_days=of(table.HISTORY_DAYS),
        private_destinations=of(table.PRIVATE_DESTINATIONS),
        verbose=of(table.VERBOSE),
        notices=tuple(reading.notices),
    )


def _ipv6(reading: Reading) -> bool:
    disabled = reading.of(table.DISABLE_IPV6)
    if reading.text(table.DISABLE_IPV6).lower() in _NEGATIVE:
        reading.notice("DISABLE_IPV6 disables IPv6 whatever its value; leave it empty to keep IPv6")
    if disabled and reading.is_set(table.BIND_IP6):
        reading.notice("BIND_IP6 has no effect: DISABLE_IPV6 is set")
    return not disabled


def _own_name(reading: Reading, host: str) -> str:
    """Return the host's name as others will take it: an odd letter becomes a dash."""
    labels = (re.sub(r"[^a-z0-9]+", "-", label).strip("-") for label in host.lower().split("."))
    try:
        name = parse_domain(".".join(filter(None, labels)))
    except AddressError:
        name = _LOCALHOST
    if "." not in name:
        reading.notice(f"MAILNAME is not set and this host is called {name}: servers may refuse a name without a dot")
    return name


def _trusted(reading: Reading, networks: Callable[[str], tuple[IPNetwork, ...]]) -> TrustList:
    device = reading.of(table.NET_DEV)
    try:
        near = networks(device)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reading.notice(f"NET_DEV={device} adds no trusted networks: {reason}")
        near = ()
    added = reading.of(table.RELAY_NETWORKS).items
    if any(_is_everyone(item) for item in added):
        reading.notice("RELAY_NETWORKS lets everyone send anywhere: if strangers can reach us, they will send spam")
    return TrustList((*LOOPBACK, *(TrustItem(Network(network)) for network in near), *added))


def _is_everyone(item: TrustItem) -> bool:
    wide = isinstance(item.who, Everyone) or (isinstance(item.who, Network) and item.who.network.prefixlen == 0)
    return wide and not item.excluded


def _notice_strangers(reading: Reading) -> None:
    """Tell of variables that are spelled almost like ours. Their values are not shown: one may be a secret."""
    known = [setting.name for setting in table.SETTINGS]
    known += [setting.name + FILE_SUFFIX for setting in table.SETTINGS if setting.secret]
    for name in reading.names():
        if _LIKE_OURS.fullmatch(name) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            reading.notice(f"{name} is not a setting of ours" + (f"; did you mean {close[0]}?" if close else ""))
