"""The environment's settings as one frozen value.

Every setting as it counts, secrets masked: for the log, and for an operator who asks.
"""

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mta.config import table, value_types
from mta.config.identity import UNPRIVILEGED_PORTS, Identity, usual_identity
from mta.config.setting import MASK, Setting, SettingsError, SettingsReader, Source
from mta.config.smarthost import read_smarthost
from mta.config.sources import files
from mta.config.sources.interfaces import interface_networks
from mta.config.table import SETTINGS
from mta.config.unknown_variables import is_negative, notice_exim, notice_quotes, notice_unknown_variables
from mta.delivery.local.rule import LocalKind, LocalRule
from mta.delivery.retry import RetrySchedule
from mta.inbound.networks import LOOPBACK, Everyone, IPNetwork, Network, TrustItem, TrustList
from mta.routing.route import Smarthost
from mta.smtp.address import AddressError, parse_domain
from mta.smtp.domains import DomainList


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """The value of one setting as it is written, `****` for a secret, and where it came from."""

    name: str
    text: str
    source: Source

    def __str__(self) -> str:
        """Give `NAME = text`."""
        return f"{self.name} = {self.text}".rstrip()


def effective_settings(reading: SettingsReader, found: Mapping[str, str]) -> tuple[EffectiveSetting, ...]:
    """Return all settings in the order of the table. `found` has, by name, what stands in for an empty default."""
    return tuple(
        EffectiveSetting(setting.name, _text(setting, reading) or found.get(setting.name, ""), reading.source(setting))
        for setting in SETTINGS
    )


def _text(setting: Setting[Any], reading: SettingsReader) -> str:
    if setting.secret:
        return MASK if reading.is_set(setting) else ""
    return setting.form.show(reading.of(setting))


__all__ = ["Settings", "SettingsError", "read_settings"]

_LOCALHOST = "localhost"
_ALL_DOMAINS = "*"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator asked for. Sizes are octets."""

    port: int
    bind_ip: str
    #: None when IPv6 is disabled.
    bind_ip6: str | None
    ipv6: bool
    mailname: str
    #: Whom to become when started as root. None: nobody is named.
    run_as: Identity | None
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
    #: Processes that share the work, 1 or more.
    workers: int
    mail_dir: Path
    #: Addresses and ports; none means the system's.
    dns_servers: tuple[tuple[str, int], ...]
    retry_schedule: RetrySchedule
    message_size_limit: int
    #: 0 is no limit.
    line_length_limit: int
    #: `normalize` or `strict`.
    line_endings: str
    #: `text` or `json`.
    log_format: str
    history_days: float
    #: Whether an ordinary domain's mail may go to private, loopback and our own addresses.
    private_destinations: bool
    #: Whether to log every setting at start.
    verbose: bool
    #: Lines to log at start: what was set and has no effect, what is missing, what is unwise.
    notices: tuple[str, ...]
    #: Every setting as text.
    effective: tuple[EffectiveSetting, ...]


def own_host_name() -> str:
    """Return the host's full name, or the short one where the full one says nothing."""
    full = socket.getfqdn()
    return socket.gethostname() if full.startswith(_LOCALHOST) else full


def usable_cores() -> int:
    """Return how many processor cores this process may run on, as far as there are workers for them."""
    return min(len(os.sched_getaffinity(0)), value_types.MOST_WORKERS)


def read_settings(
    environ: Mapping[str, str],
    *,
    host_name: Callable[[], str] = own_host_name,
    networks: Callable[[str], tuple[IPNetwork, ...]] = interface_networks,
    root: Path = Path("/"),
) -> Settings:
    """Return the settings of an environment. Raises SettingsError with every mistake there is.

    `host_name` gives the host's own name, `networks` those of an interface or OSError; below `root` Exim's files are
    looked for.
    """
    reading = SettingsReader(environ)
    for setting in table.SETTINGS:
        reading.of(setting)
    notice_unknown_variables(reading)
    notice_quotes(reading)
    notice_exim(reading, root)
    settings = _assemble(reading, host_name, networks)
    reading.check()
    return settings


def _assemble(
    reading: SettingsReader, host_name: Callable[[], str], networks: Callable[[str], tuple[IPNetwork, ...]]
) -> Settings:
    of = reading.of
    macros = files.macros(reading)
    reading.adopt(macros.texts)
    for notice in macros.notices:
        reading.notice(notice)
    ipv6 = _ipv6(reading)
    mailname = _mailname(reading, host_name)
    certificate, key = files.certificate(reading)
    smarthost = read_smarthost(reading, macros)
    aliases = files.aliases(reading)
    run_as = _run_as(reading)
    stand_ins = {
        table.MAILNAME.name: mailname,
        table.RUN_AS.name: str(run_as or ""),
        table.ALIASES_FILE.name: str(aliases or ""),
        table.MACROS_FILE.name: macros.path,
        table.SMARTHOST_TLS.name: smarthost.tls.value if smarthost else "",
    }
    return Settings(
        port=of(table.PORT),
        bind_ip=of(table.BIND_IP),
        bind_ip6=of(table.BIND_IP6) if ipv6 else None,
        ipv6=ipv6,
        mailname=mailname,
        run_as=run_as,
        trusted=_trusted(reading, networks),
        relay_domains=_relay_domains(reading),
        local_domains=_local_domains(reading),
        local_delivery=_local_delivery(reading),
        aliases_file=aliases,
        certificate_path=certificate,
        key_path=key,
        port_out=of(table.SMTPPORTOUT),
        smarthost=smarthost,
        smarthost_ca_file=files.authorities(reading),
        dkim_key_path=files.dkim_keys(reading),
        dkim_selector=of(table.DKIM_SELECTOR),
        dkim_canon=of(table.DKIM_CANON),
        queue_dir=of(table.QUEUE_DIR),
        workers=of(table.WORKERS) or usable_cores(),
        mail_dir=of(table.MAIL_DIR),
        dns_servers=of(table.DNS_SERVERS),
        retry_schedule=of(table.RETRY_SCHEDULE),
        message_size_limit=of(table.MESSAGE_SIZE_LIMIT),
        line_length_limit=of(table.LINE_LENGTH_LIMIT),
        line_endings=of(table.LINE_ENDINGS),
        log_format=of(table.LOG_FORMAT),
        history_days=of(table.HISTORY_DAYS),
        private_destinations=of(table.PRIVATE_DESTINATIONS),
        verbose=_verbose(reading),
        notices=tuple(dict.fromkeys(reading.notices)),
        effective=effective_settings(reading, stand_ins),
    )


def _ipv6(reading: SettingsReader) -> bool:
    disabled = reading.of(table.DISABLE_IPV6)
    if is_negative(reading.text(table.DISABLE_IPV6)):
        reading.notice("DISABLE_IPV6 disables IPv6 whatever its value; leave it empty to keep IPv6")
    if disabled and reading.differs(table.BIND_IP6):
        reading.notice("BIND_IP6 has no effect: DISABLE_IPV6 is set")
    return not disabled


def _verbose(reading: SettingsReader) -> bool:
    verbose = reading.of(table.VERBOSE)
    if reading.is_set(table.VERBOSE) and not verbose and not is_negative(reading.text(table.VERBOSE)):
        reading.notice("VERBOSE has no effect: only true turns it on")
    return verbose


def _mailname(reading: SettingsReader, host_name: Callable[[], str]) -> str:
    name = reading.of(table.MAILNAME)
    if name is None:
        return _own_name(reading, host_name())
    if "." not in name:
        reading.notice(f"MAILNAME={name}: servers may refuse a name without a dot")
    return name


def _run_as(reading: SettingsReader) -> Identity | None:
    """Return whom a relay that is started as root becomes; on a high port it may stay what it is unless that is set."""
    chosen = reading.of(table.RUN_AS)
    if chosen is None and reading.of(table.PORT) < UNPRIVILEGED_PORTS:
        return usual_identity()
    return chosen


def _relay_domains(reading: SettingsReader) -> DomainList:
    domains = reading.of(table.RELAY_DOMAINS)
    if _ALL_DOMAINS in domains.patterns:
        reading.notice("RELAY_DOMAINS lets everyone send anywhere: if strangers can reach us, they will send spam")
    return domains


def _local_domains(reading: SettingsReader) -> DomainList:
    others = reading.of(table.OTHER_HOSTNAMES).patterns
    if _ALL_DOMAINS in others:
        reading.notice("OTHER_HOSTNAMES makes every domain local: no mail leaves this host")
    both = sorted(set(others).intersection(reading.of(table.RELAY_DOMAINS).patterns))
    if both:
        reading.notice(f"{both[0]} stands in RELAY_DOMAINS without effect: OTHER_HOSTNAMES makes it local")
    return DomainList(tuple(dict.fromkeys((_LOCALHOST, *others))))


def _local_delivery(reading: SettingsReader) -> LocalRule:
    rule = reading.of(table.LOCAL_DELIVERY)
    if rule.kind is LocalKind.LMTP and reading.differs(table.MAIL_DIR):
        reading.notice("MAIL_DIR has no effect: LOCAL_DELIVERY hands local mail to LMTP")
    return rule


def _own_name(reading: SettingsReader, host: str) -> str:
    """Return the host's name as others will take it: an odd letter becomes a dash."""
    labels = (re.sub(r"[^a-z0-9]+", "-", label).strip("-") for label in host.lower().split("."))
    try:
        name = parse_domain(".".join(filter(None, labels)))
    except AddressError:
        name = _LOCALHOST
    if "." not in name:
        reading.notice(f"MAILNAME is not set and this host is called {name}: servers may refuse a name without a dot")
    return name


def _trusted(reading: SettingsReader, networks: Callable[[str], tuple[IPNetwork, ...]]) -> TrustList:
    device = reading.of(table.NET_DEV)
    try:
        near = networks(device)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reading.notice(f"NET_DEV={device} adds no trusted networks: {reason}")
        near = ()
    _notice_public(reading, device, near)
    added = reading.of(table.RELAY_NETWORKS).items
    if any(_is_everyone(item) for item in added):
        reading.notice("RELAY_NETWORKS lets everyone send anywhere: if strangers can reach us, they will send spam")
    return TrustList((*LOOPBACK, *(TrustItem(Network(network)) for network in near), *added))


def _notice_public(reading: SettingsReader, device: str, near: tuple[IPNetwork, ...]) -> None:
    """Tell of neighbours whom nobody chose: an address of our own alone has none."""
    public = [str(network) for network in near if network.is_global and network.num_addresses > 1]
    if public:
        more = f" and {len(public) - 1} more" if public[1:] else ""
        reading.notice(
            f"NET_DEV={device} lets strangers send anywhere from the public network {public[0]}{more}: "
            "set NET_DEV=lo, and RELAY_NETWORKS to those who may"
        )


def _is_everyone(item: TrustItem) -> bool:
    wide = isinstance(item.who, Everyone) or (isinstance(item.who, Network) and item.who.network.prefixlen == 0)
    return wide and not item.excluded
