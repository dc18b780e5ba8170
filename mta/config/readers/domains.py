"""Reads the relay's own name, and the domains that it takes mail for."""

import re
from collections.abc import Callable

from mta.config import table
from mta.config.setting import SettingsReader
from mta.delivery.local.rule import LocalKind, LocalRule
from mta.smtp.address import AddressError, parse_domain
from mta.smtp.domains import DomainList

_LOCALHOST = "localhost"
_ALL_DOMAINS = "*"


def read_mailname(reader: SettingsReader, host_name: Callable[[], str]) -> str:
    """Return the name of the relay. `host_name` returns that of this host."""
    name = reader.get(table.MAILNAME)
    if name is None:
        return _own_name(reader, host_name())
    if "." not in name:
        reader.notice(f"MAILNAME={name}: servers may refuse a name without a dot")
    return name


def _own_name(reader: SettingsReader, host: str) -> str:
    """Return the host's name as remote servers accept it, with a dash in place of other characters."""
    labels = (re.sub(r"[^a-z0-9]+", "-", label).strip("-") for label in host.lower().split("."))
    try:
        name = parse_domain(".".join(filter(None, labels)))
    except AddressError:
        name = _LOCALHOST
    if "." not in name:
        reader.notice(f"MAILNAME is not set and this host is called {name}: servers may refuse a name without a dot")
    return name


def read_relay_domains(reader: SettingsReader) -> DomainList:
    """Return the domains that anyone may send to."""
    domains = reader.get(table.RELAY_DOMAINS)
    if _ALL_DOMAINS in domains.patterns:
        reader.notice("RELAY_DOMAINS lets everyone send anywhere: strangers who can connect will send spam")
    return domains


def read_local_domains(reader: SettingsReader) -> DomainList:
    """Return the domains whose mail is delivered here."""
    others = reader.get(table.OTHER_HOSTNAMES).patterns
    if _ALL_DOMAINS in others:
        reader.notice("OTHER_HOSTNAMES makes every domain local: no mail leaves this host")
    both = sorted(set(others).intersection(reader.get(table.RELAY_DOMAINS).patterns))
    if both:
        reader.notice(f"{both[0]} in RELAY_DOMAINS has no effect: OTHER_HOSTNAMES makes it local")
    rewritten = filter(None, (reader.get(table.SRS_DOMAIN),))
    return DomainList(tuple(dict.fromkeys((_LOCALHOST, *others, *rewritten))))


def read_local_delivery(reader: SettingsReader) -> LocalRule:
    """Return where local mail goes."""
    rule = reader.get(table.LOCAL_DELIVERY)
    if rule.kind is LocalKind.LMTP and reader.is_non_default(table.MAIL_DIR):
        reader.notice("MAIL_DIR has no effect: LOCAL_DELIVERY sends local mail by LMTP")
    return rule
