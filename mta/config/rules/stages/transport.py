"""Makes the settings of a `[[transport]]` rule of its values."""

import ipaddress
from collections.abc import Callable

from mta.config.rules.keys.key import RuleKey
from mta.config.rules.rule_values import RuleValueError, ValueReader, read_boolean, shown
from mta.config.rules.stages.hosts import read_tls
from mta.config.rules.toml_tables import TableEntry
from mta.rate import read_rate
from mta.routing.carriage import Carriage, CarriageRate
from mta.rules.conditions import Rule
from mta.rules.transport import TransportRule, TransportRules
from mta.smtp.address import AddressError, parse_domain

#: The largest numbers of connections, of messages on one connection, and of rates in an array.
MAX_CONNECTIONS, MAX_MESSAGES, MAX_RATES = 100, 10_000, 10
_MAX_PORT = 65535


class TransportStage:
    """The rules of [[transport]]."""

    def __init__(self) -> None:
        self.rules: list[TransportRule] = []
        #: By each setting that a rule without a condition has, the first such rule.
        self.taken: dict[str, Rule] = {}

    def open_rule(self) -> "OpenTransportRule":
        """Begin a rule."""
        return OpenTransportRule(self)

    def add(self, rule: TransportRule) -> None:
        """Add a rule. Raises RuleValueError if those before it have all of its settings for all mail."""
        if not rule.for_all and rule.given and self.taken.keys() >= set(rule.given):
            places = dict.fromkeys(str(self.taken[name].where) for name in rule.given)
            raise RuleValueError(
                f"this rule can never apply: without a condition, {' and '.join(places)} has its settings"
            )
        self.rules.append(rule)
        if rule.rule.always_applies:
            self.taken = dict.fromkeys(rule.given, rule.rule) | self.taken

    def made(self) -> TransportRules | None:
        """Return the stage, or None if it has no rules."""
        return TransportRules(self.rules) if self.rules else None


class OpenTransportRule:
    """One rule while its entries are read."""

    #: Every rule that applies may have a setting that those before it lack.
    ends_search = False

    def __init__(self, stage: TransportStage) -> None:
        self._stage = stage
        self._values: dict[str, object] = {}

    def add(self, key: RuleKey, entry: TableEntry, values: ValueReader) -> None:
        """Add a setting. Rates and addresses that cannot be read are left out and told. Raises RuleValueError."""
        self._values[key.name] = _READERS[key.name](entry, values)

    def check(self, *, complete: bool) -> None:
        """Check that there is a setting. Raises RuleValueError."""
        if complete and not self._values:
            raise RuleValueError("this rule sets nothing; connections, rate, tls, helo, source and others do")

    def finish(self, rule: Rule) -> None:
        """Add the rule to the stage. Raises RuleValueError if the rules before it leave it no mail."""
        values = dict(self._values)
        for key, name in (("rate", "rates"), ("rate_each", "rates_each")):
            if limits := values.pop(key, ()):
                rate = CarriageRate(str(rule.where), limits, rule.digest)  # type: ignore[arg-type]  # `_rates` made them
                values[name] = (rate,)
        # A variable stands for a rule without a line.
        made = TransportRule(rule, Carriage(**values), for_all=not rule.where.line)  # type: ignore[arg-type]  # likewise
        self._stage.add(made)


def _whole_number(most: int) -> Callable[[TableEntry, ValueReader], int]:
    def read(entry: TableEntry, _values: ValueReader) -> int:
        value = entry.value
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise RuleValueError(f"{shown(value)} is no whole number of 1 to {most}, which stands without quotes")
        return value

    return read


def _rates(entry: TableEntry, values: ValueReader) -> tuple[object, ...]:
    rates = tuple(dict.fromkeys(values.items(entry, read_rate)))
    if len(rates) > MAX_RATES:
        raise RuleValueError(f"there are more than {MAX_RATES} rates")
    return rates


def _helo(entry: TableEntry, _values: ValueReader) -> str:
    try:
        return parse_domain(entry.value if isinstance(entry.value, str) else "")
    except AddressError:
        raise RuleValueError(f'{shown(entry.value)} is no name of a host, helo = "mail.example.com"') from None


def _source(entry: TableEntry, values: ValueReader) -> tuple[str, ...]:
    addresses = values.items(entry, _source_address)
    if len({address.version for address in addresses}) < len(addresses):
        raise RuleValueError("there is one address of each family, an IPv4 and an IPv6 address")
    return tuple(map(str, addresses))


def _source_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"{text!r} is no address of one host")
    return address


_READERS: dict[str, Callable[[TableEntry, ValueReader], object]] = {
    "connections": _whole_number(MAX_CONNECTIONS),
    "messages_per_connection": _whole_number(MAX_MESSAGES),
    "rate": _rates,
    "rate_each": _rates,
    "tls": lambda entry, _values: read_tls(entry.value),
    "port": _whole_number(_MAX_PORT),
    "helo": _helo,
    "source": _source,
    "ipv6": lambda entry, _values: read_boolean(entry.value),
}
