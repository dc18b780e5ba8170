"""Reads the settings of an environment into one frozen value, which also lists the effective value of each setting."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mta.config import table, value_types
from mta.config.identity import UNPRIVILEGED_PORTS, Identity, usual_identity
from mta.config.logins.submission import Submission, read_submission
from mta.config.readers.admin import AdminSettings, read_admin
from mta.config.readers.domains import read_local_delivery, read_local_domains, read_mailname, read_relay_domains
from mta.config.readers.events import EventsTarget, read_events
from mta.config.readers.forwarding import read_srs
from mta.config.readers.networks import read_proxy_networks, read_trusted
from mta.config.readers.secure_delivery import SecureDelivery, read_secure_delivery
from mta.config.readers.shared_queue import SharedQueue, read_shared_queue
from mta.config.rules.reading import read_current, used_directory
from mta.config.setting import MASK, Setting, SettingsReader, Source
from mta.config.smarthost import note_unused_direct_settings, read_smarthost
from mta.config.sources import files
from mta.config.sources.interfaces import interface_networks
from mta.config.sources.macros import Macros
from mta.config.table import SETTINGS
from mta.config.unknown_variables import (
    is_negative,
    notice_exim,
    notice_quotes,
    notice_split_config,
    notice_unknown_variables,
)
from mta.delivery.local.rule import LocalRule
from mta.delivery.local.srs import SrsSettings
from mta.file_states import FileStates
from mta.inbound.networks import IPNetwork, TrustList
from mta.retry_schedule import RetrySchedule
from mta.routing.route import Smarthost
from mta.rules.book import RuleBook
from mta.smtp.address import Address
from mta.smtp.domains import DomainList

if TYPE_CHECKING:
    from mta.oauth.grants import Grant

_LOCALHOST = "localhost"
# Returns the networks of an interface, or raises OSError.
_Networks = Callable[[str], tuple[IPNetwork, ...]]


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """The value of one setting as text, `****` for a secret, and its origin."""

    name: str
    text: str
    source: Source

    def __str__(self) -> str:
        """Return `NAME = text`."""
        return f"{self.name} = {self.text}".rstrip()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one relay. Sizes are octets."""

    port: int
    bind_ip: str
    #: None if IPv6 is disabled.
    bind_ip6: str | None
    ipv6: bool
    mailname: str
    #: The user to become if started as root.
    run_as: Identity | None
    #: Clients that may send anywhere.
    trusted: TrustList
    relay_domains: DomainList
    #: Load balancers, whose connections begin with a PROXY header.
    proxy_networks: TrustList
    #: Delivered as `local_delivery` says.
    local_domains: DomainList
    local_delivery: LocalRule
    #: None if there is no aliases file.
    aliases_file: Path | None
    #: The operator's own rules; None if there are none.
    rules: RuleBook | None
    #: The files that they were read from, or that would have rules if they existed.
    rule_files: FileStates
    #: For STARTTLS: both are set, or both are None.
    certificate_path: Path | None
    key_path: Path | None
    #: The ports whose clients must log in, with STARTTLS and with TLS from the first byte; None if not open.
    submission_port: int | None
    submission_tls_port: int | None
    #: The users that may log in: lines as in a users' file, "" for none.
    auth_users: str = field(repr=False)
    #: The number of users at start.
    auth_user_count: int
    #: The regular file that the users were read from, which may change; None if there is none.
    auth_users_file: Path | None
    #: Whether trusted clients may log in without TLS.
    auth_in_clear: bool
    #: The port of every MX host.
    port_out: int
    #: The proof that MX hosts must give.
    secure_delivery: SecureDelivery
    #: None for direct delivery.
    smarthost: Smarthost | None
    #: The grant of access tokens for the smarthost; None if it gets none.
    grant: "Grant | None"
    #: The certificate that the smarthost is shown, and its key.
    client_certificate: tuple[Path, Path] | None
    #: The authorities that the smarthost's certificate must come from. None: the system's.
    smarthost_ca_file: Path | None
    #: A key or a directory of keys. None: mail is not signed.
    dkim_key_path: Path | None
    dkim_selector: str
    #: `simple` or `relaxed`, for header and body.
    dkim_canon: tuple[str, str]
    queue_dir: Path
    #: The queue that this relay shares with others; None if its queue is in `queue_dir`.
    shared_queue: SharedQueue | None
    srs: SrsSettings | None
    #: The number of processes that share the work, 1 or more.
    workers: int
    mail_dir: Path
    #: Addresses and ports; an empty tuple means the system's servers.
    dns_servers: tuple[tuple[str, int], ...]
    retry_schedule: RetrySchedule
    message_size_limit: int
    #: 0 means no limit.
    line_length_limit: int
    #: `normalize` or `strict`.
    line_endings: str
    #: `text` or `json`.
    log_format: str
    #: The address, "" for all, and port of the metrics; None if they are off.
    metrics_listen: tuple[str, int] | None
    #: The operator's page and API; None if they are off.
    admin: AdminSettings | None
    #: None if no events are sent.
    events: EventsTarget | None
    #: Gets copies of reports that could not be delivered, and a daily digest of failures; None if they are only logged.
    postmaster: Address | None
    history_days: float
    #: Whether the queue keeps the subjects of messages.
    log_subject: bool
    #: Whether MX hosts of ordinary domains may have private or loopback addresses, or the relay's own.
    private_destinations: bool
    #: Whether to log every setting at start.
    verbose: bool
    #: Lines to log at start, about settings without effect, missing files and unsafe settings.
    notices: tuple[str, ...]
    #: The value of every setting as text.
    effective: tuple[EffectiveSetting, ...]

    @property
    def queue_place(self) -> str:
        """Where the queue is: QUEUE_DIR, or the URL of a shared one without its password."""
        return str(self.queue_dir if self.shared_queue is None else self.shared_queue.server)

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports to listen on: PORT, then those of submission."""
        return (self.port, *filter(None, (self.submission_port, self.submission_tls_port)))


def own_host_name() -> str:
    """Return the host's full name, or its short name if the full one is only `localhost...`."""
    full = socket.getfqdn()
    return socket.gethostname() if full.startswith(_LOCALHOST) else full


def usable_cores() -> int:
    """Return the number of processor cores that this process may use, at most MAX_WORKERS."""
    return min(len(os.sched_getaffinity(0)), value_types.MAX_WORKERS)


def read_settings(
    environ: Mapping[str, str],
    *,
    host_name: Callable[[], str] = own_host_name,
    networks: Callable[[str], tuple[IPNetwork, ...]] = interface_networks,
    root: Path = Path("/"),
) -> Settings:
    """Return the settings of an environment. Raises SettingsError with all mistakes.

    `host_name` returns the name of this host; `networks` returns the networks of an interface or raises OSError. Exim's
    mounted files and the usual directory of rules are looked for below `root`.
    """
    reader = SettingsReader(environ)
    for setting in table.SETTINGS:
        reader.get(setting)
    notice_unknown_variables(reader)
    notice_quotes(reader)
    notice_exim(reader, root)
    settings = _assemble(reader, host_name, networks, root)
    reader.check()
    return settings


def _assemble(reader: SettingsReader, host_name: Callable[[], str], networks: _Networks, root: Path) -> Settings:
    get = reader.get
    macros = _macros(reader)
    ipv6, mailname = _ipv6(reader), read_mailname(reader, host_name)
    certificate, key = files.certificate(reader)
    submission = read_submission(reader, certificate=certificate is not None)
    choice = read_smarthost(reader, macros, files.client_certificate(reader))
    aliases = files.aliases(reader)
    run_as = _run_as(reader, submission)
    rules, rule_files = _rules(reader, root, choice.smarthost)
    shared_queue = read_shared_queue(reader, host_name)
    stand_ins = _stand_ins(mailname, run_as, aliases, macros.path, choice.smarthost)
    stand_ins[table.NODE_NAME.name] = shared_queue.node_name if shared_queue else ""
    return Settings(
        port=get(table.PORT),
        bind_ip=get(table.BIND_IP),
        bind_ip6=get(table.BIND_IP6) if ipv6 else None,
        ipv6=ipv6,
        mailname=mailname,
        run_as=run_as,
        trusted=read_trusted(reader, networks),
        relay_domains=read_relay_domains(reader),
        proxy_networks=read_proxy_networks(reader),
        local_domains=read_local_domains(reader),
        local_delivery=read_local_delivery(reader),
        aliases_file=aliases,
        rules=rules,
        rule_files=rule_files,
        certificate_path=certificate,
        key_path=key,
        submission_port=submission.port,
        submission_tls_port=submission.tls_port,
        auth_users=submission.users,
        auth_user_count=submission.count,
        auth_users_file=submission.users_file,
        auth_in_clear=submission.in_clear,
        **_for_direct_delivery(reader),
        smarthost=choice.smarthost,
        grant=choice.grant,
        client_certificate=choice.certificate,
        smarthost_ca_file=files.authorities(reader),
        dkim_key_path=files.dkim_keys(reader),
        dkim_selector=get(table.DKIM_SELECTOR),
        dkim_canon=get(table.DKIM_CANON),
        queue_dir=get(table.QUEUE_DIR),
        shared_queue=shared_queue,
        srs=read_srs(reader, aliases),
        workers=get(table.WORKERS) or usable_cores(),
        mail_dir=get(table.MAIL_DIR),
        retry_schedule=get(table.RETRY_SCHEDULE),
        message_size_limit=get(table.MESSAGE_SIZE_LIMIT),
        line_length_limit=get(table.LINE_LENGTH_LIMIT),
        line_endings=get(table.LINE_ENDINGS),
        **_for_operators(reader),
        notices=tuple(dict.fromkeys(reader.notices)),
        effective=effective_settings(reader, {**stand_ins, **_rules_dir(reader, root)}),
    )


def _for_direct_delivery(reader: SettingsReader) -> dict[str, Any]:
    """Return the fields of the settings on mail to MX hosts."""
    servers = reader.get(table.DNS_SERVERS)
    return {
        "port_out": reader.get(table.SMTPPORTOUT),
        "private_destinations": reader.get(table.PRIVATE_DESTINATIONS),
        "dns_servers": servers,
        "secure_delivery": read_secure_delivery(reader, servers),
    }


def _for_operators(reader: SettingsReader) -> dict[str, Any]:
    """Return the fields of the settings by which operators and their programs watch the relay."""
    return {
        "log_format": reader.get(table.LOG_FORMAT),
        "metrics_listen": reader.get(table.METRICS_LISTEN),
        "admin": read_admin(reader),
        "events": read_events(reader),
        "postmaster": _postmaster(reader),
        "history_days": reader.get(table.HISTORY_DAYS),
        "log_subject": reader.get(table.LOG_SUBJECT),
        "verbose": _verbose(reader),
    }


def _postmaster(reader: SettingsReader) -> Address | None:
    postmaster = reader.get(table.POSTMASTER)
    if postmaster is not None and reader.get(table.HISTORY_DAYS) < 1:
        text = "the daily digest for POSTMASTER misses failures, because it finds them in the history"
        reader.notice(f"{text}: set HISTORY_DAYS to 1 or more")
    return postmaster


def _macros(reader: SettingsReader) -> Macros:
    macros = files.macros(reader)
    reader.add_macros(macros.texts)
    for notice in macros.notices:
        reader.notice(notice)
    return macros


def _stand_ins(
    mailname: str, run_as: Identity | None, aliases: Path | None, macros: str, smarthost: Smarthost | None
) -> dict[str, str]:
    """Return the values, by name, that a start finds for settings whose default is empty."""
    return {
        table.MAILNAME.name: mailname,
        table.RUN_AS.name: str(run_as or ""),
        table.ALIASES_FILE.name: str(aliases or ""),
        table.MACROS_FILE.name: macros,
        table.SMARTHOST_TLS.name: smarthost.tls.value if smarthost else "",
    }


def effective_settings(reader: SettingsReader, found: Mapping[str, str]) -> tuple[EffectiveSetting, ...]:
    """Return all settings in the order of the table. `found` has the values, by name, that replace an empty default."""
    return tuple(
        EffectiveSetting(
            setting.name, _effective_text(setting, reader) or found.get(setting.name, ""), reader.source(setting)
        )
        for setting in SETTINGS
    )


def _effective_text(setting: Setting[Any], reader: SettingsReader) -> str:
    if setting.secret:
        return MASK if reader.is_set(setting) else ""
    return setting.value_type.show(reader.get(setting))


def _rules(reader: SettingsReader, root: Path, smarthost: Smarthost | None) -> tuple[RuleBook | None, FileStates]:
    book, files = read_current(reader, root)
    if book is None:
        notice_split_config(reader)
    if smarthost and not (book and book.router and book.router.by_mx):
        note_unused_direct_settings(reader)
    return book, files


def _rules_dir(reader: SettingsReader, root: Path) -> dict[str, str]:
    return {table.RULES_DIR.name: str(used_directory(reader, root) or "")}


def _ipv6(reader: SettingsReader) -> bool:
    disabled = reader.get(table.DISABLE_IPV6)
    if is_negative(reader.text(table.DISABLE_IPV6)):
        reader.notice("DISABLE_IPV6 disables IPv6 with any value; leave it empty to keep IPv6")
    if disabled and reader.is_non_default(table.BIND_IP6):
        reader.notice("BIND_IP6 has no effect: DISABLE_IPV6 is set")
    return not disabled


def _verbose(reader: SettingsReader) -> bool:
    verbose = reader.get(table.VERBOSE)
    if reader.is_set(table.VERBOSE) and not verbose and not is_negative(reader.text(table.VERBOSE)):
        reader.notice("VERBOSE has no effect: only the value true turns it on")
    return verbose


def _run_as(reader: SettingsReader, submission: Submission) -> Identity | None:
    """Return the user that a relay started as root becomes. It may stay root on high ports if RUN_AS is unset."""
    chosen = reader.get(table.RUN_AS)
    lowest = min(filter(None, (reader.get(table.PORT), submission.port, submission.tls_port)))
    return usual_identity() if chosen is None and lowest < UNPRIVILEGED_PORTS else chosen
