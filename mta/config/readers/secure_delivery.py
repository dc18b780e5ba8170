"""The settings of secure delivery to MX hosts: TLS_POLICY, MTA_STS, DANE and DNSSEC, and the values read from them."""

import enum
import ipaddress
from dataclasses import dataclass, field

from mta.config import value_types
from mta.config.setting import Setting, SettingsReader, ValueType
from mta.routing.demands.tls_policy import TlsLevel, TlsPolicy, TlsPolicyEntry
from mta.smtp.address import Address
from mta.smtp.domains import parse_pattern

#: The most entries of TLS_POLICY, because they are compared one after the other.
MAX_ENTRIES = 1000

_LEVELS = ", ".join(level.value for level in TlsLevel)


class StsUse(enum.Enum):
    """The use of MTA-STS policies."""

    ENFORCE = "enforce"
    #: As if each policy had the mode testing.
    TESTING = "testing"
    OFF = "off"


class DnssecSource(enum.Enum):
    """The validator of DNS answers."""

    #: libunbound if it is installed, otherwise the AD bit of a resolver on loopback.
    AUTO = "auto"
    LIBUNBOUND = "libunbound"
    #: The AD bit of the name servers, wherever they are.
    TRUST = "trust"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class SecureDelivery:
    """The settings of secure delivery. They are without effect where mail goes to a smarthost."""

    tls_policy: TlsPolicy = field(default_factory=TlsPolicy)
    sts: StsUse = StsUse.ENFORCE
    dane: bool = True
    dnssec: DnssecSource = DnssecSource.AUTO
    #: The sender of TLS reports; None if the relay makes none.
    reports_from: Address | None = None

    @property
    def uses_dane(self) -> bool:
        """Whether TLSA records are looked up where DNSSEC can prove them."""
        return self.dane and self.dnssec is not DnssecSource.OFF

    @property
    def used(self) -> bool:
        """Whether any demand can exist besides the TLS of all direct delivery."""
        demands = bool(self.tls_policy.entries) or self.sts is not StsUse.OFF or self.uses_dane
        return demands or self.reports_from is not None


def read_tls_policy(text: str) -> TlsPolicy:
    """Read `a.test=verify; *.b.test=none; *=require`. Raises ValueError, also for an entry that never decides."""
    entries = [_entry(item) for item in (item.strip() for item in text.split(";")) if item]
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"it has {len(entries)} entries, and at most {MAX_ENTRIES} are possible")
    for number, entry in enumerate(entries):
        for earlier in entries[:number]:
            if earlier.covers(entry):
                raise ValueError(f"{entry} never decides, because {earlier} stands before it: write it first")
    return TlsPolicy(tuple(entries))


def _entry(item: str) -> TlsPolicyEntry:
    domain, equals, level = (part.strip() for part in item.partition("="))
    if not equals or not domain or not level:
        raise ValueError(f"{item!r} is not domain=level; separate entries by ;")
    try:
        return TlsPolicyEntry(parse_pattern(domain), TlsLevel(level.lower()))
    except ValueError as error:
        wrong_level = level.lower() not in {each.value for each in TlsLevel}
        raise ValueError(f"{level!r} in {item!r} is not one of {_LEVELS}" if wrong_level else str(error)) from None


TLS_POLICY = Setting(
    "TLS_POLICY",
    ValueType(read_tls_policy),
    "",
    "The TLS that recipient domains get, whatever they publish: `domain=level` between `;`, where the level is `none`,"
    " `opportunistic`, `require`, `verify` or `dane`; `*` is the level of domains that publish nothing.",
    "example.com=verify; *.example.org=require",
    default_meaning="none: TLS as the domain demands it, otherwise if it is offered",
)
MTA_STS = Setting(
    "MTA_STS",
    value_types.choice({use.value: use for use in StsUse}),
    StsUse.ENFORCE.value,
    "Whether recipient domains' MTA-STS policies are followed: `enforce`, `testing` (failures are only told) or `off`.",
    "testing",
)
DANE = Setting(
    "DANE",
    value_types.choice({"on": True, "off": False}),
    "on",
    "Whether MX hosts must prove themselves by their TLSA records, if DNSSEC proves these: `on` or `off`.",
    "off",
)
DNSSEC = Setting(
    "DNSSEC",
    value_types.choice({source.value: source for source in DnssecSource}),
    DnssecSource.AUTO.value,
    "How DNS answers are proven for DANE: `libunbound`, `trust` (the word of the resolver), `off`, or `auto`:"
    " libunbound if it is installed, otherwise the word of a resolver on loopback.",
    "libunbound",
)


TLSRPT_FROM = Setting(
    "TLSRPT_FROM",
    value_types.MAIL_ADDRESS,
    "",
    "The sender of daily reports on TLS to the domains that ask for them (TLSRPT). Its domain names your organization.",
    "tls-reports@example.org",
    default_meaning="none: no reports are sent",
)


def read_secure_delivery(reader: SettingsReader, servers: tuple[tuple[str, int], ...]) -> SecureDelivery:
    """Return the settings of secure delivery; `servers` are those of DNS_SERVERS.

    Entries of TLS_POLICY that demand DANE while it is off are a mistake, because their mail could never leave.
    """
    found = SecureDelivery(
        reader.get(TLS_POLICY), reader.get(MTA_STS), reader.get(DANE), reader.get(DNSSEC), reader.get(TLSRPT_FROM)
    )
    if not found.uses_dane:
        off = "DANE=off" if not found.dane else "DNSSEC=off"
        demanding = [str(entry) for entry in found.tls_policy.entries if entry.level is TlsLevel.DANE]
        if demanding:
            reader.mistake(TLS_POLICY, f"{demanding[0]} needs DANE, which {off} turns off")
    if not found.dane and reader.is_non_default(DNSSEC):
        reader.notice(f"DNSSEC={found.dnssec.value} has no effect: DANE=off")
    elif found.dane and found.dnssec is DnssecSource.OFF and reader.is_set(DANE):
        reader.notice("DANE=on has no effect: DNSSEC=off")
    remote = [address for address, _ in servers if not ipaddress.ip_address(address).is_loopback]
    if found.uses_dane and found.dnssec is DnssecSource.TRUST and remote:
        reader.notice(
            f"DNSSEC=trust: an attacker between this host and the name server {remote[0]} can forge the records by"
            " which hosts prove themselves; use libunbound, or a resolver on this host"
        )
    return found
