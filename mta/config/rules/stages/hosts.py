"""Reads the hosts of a [[router]] rule or of a smarthost, and the TLS to them."""

import ipaddress
import re
from hashlib import sha256
from pathlib import Path

from mta.config.rules.keys.key import RuleKey
from mta.config.rules.rule_values import RuleValueError, ValueReader, read_word
from mta.config.rules.stages.secrets import RuleSecrets
from mta.config.rules.toml_tables import TableEntry
from mta.config.setting import cannot_read
from mta.config.sources.exim import read_host, read_port
from mta.config.sources.files import authorities_problem
from mta.routing.route import Credentials, Smarthost, TlsRule
from mta.smtp.address import bracketed, is_ip

#: The hosts of one rule or smarthost.
MAX_HOSTS = 100
_SMTP = 25
# Two colons before the port are those of SMARTHOST_ADDRESS.
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]\s,;]+)(?:::?([^:@]*))?")


class OpenHosts:
    """Hosts, and the TLS to them, while the entries of their table are read."""

    def __init__(self, secrets: RuleSecrets) -> None:
        self._secrets = secrets
        self.hosts: tuple[tuple[str, int], ...] = ()
        self._tls: TlsRule | None = None
        self._ca_file: Path | None = None
        #: The keys that were read.
        self.given: list[str] = []

    def add(self, key: RuleKey, entry: TableEntry, values: ValueReader) -> None:
        """Read `hosts`, `tls` or `ca_file`. Items that cannot be read are left out and told. Raises RuleValueError."""
        self.given.append(key.name)
        if key.name == "hosts":
            self.hosts = tuple(values.items(entry, read_host_and_port))
            if len(self.hosts) > MAX_HOSTS:
                raise RuleValueError(f"there are more than {MAX_HOSTS} hosts")
        elif key.name == "tls":
            self._tls = read_tls(entry.value)
        else:
            self._ca_file = self._read_ca_file(key, entry)

    def made(self, name: str, place: str, credentials: Credentials | None = None) -> Smarthost:
        """Return the smarthost. Without `tls`, a login needs the proof of the host's name. Raises RuleValueError."""
        tls = self._tls or (TlsRule.OPPORTUNISTIC if credentials is None else TlsRule.VERIFY)
        if self._ca_file is not None and tls is not TlsRule.VERIFY:
            raise RuleValueError('ca_file has no effect, because no certificate is checked; add tls = "verify"')
        return Smarthost(self.hosts, tls, credentials, name=name, place=place, ca_file=self._ca_file)

    @property
    def name(self) -> str:
        """The hosts with their ports, `mail.a.test:25`."""
        return ",".join(f"{bracketed(host)}:{port}" for host, port in self.hosts)

    def _read_ca_file(self, key: RuleKey, entry: TableEntry) -> Path:
        path = text_of(key, entry)
        if not path.startswith("/") or "\0" in path:
            raise RuleValueError(f"this is not the path of a file, which begins with /; {key.name} = {key.example}")
        self._secrets.record.note(path)
        if problem := authorities_problem(Path(path)):
            raise RuleValueError(f"{path}: {problem}")
        try:
            # Its certificates may change without the rules.
            self._secrets.add(sha256(Path(path).read_bytes()).hexdigest())
        except OSError as error:
            raise RuleValueError(f"{path}: {cannot_read('file', error)}") from None
        return Path(path)


def read_tls(value: object) -> TlsRule:
    """Return the TLS that a value asks for. Raises RuleValueError."""
    return TlsRule(read_word(value, [rule.value for rule in reversed(TlsRule)]))


def text_of(key: RuleKey, entry: TableEntry) -> str:
    """Return the value of an entry, which is a text. Raises RuleValueError, whose words do not show the value."""
    if not isinstance(entry.value, str) or not entry.value:
        raise RuleValueError(f"the value is {key.form.value}, in quotes; {key.name} = {key.example}")
    return entry.value


def read_host_and_port(text: str) -> tuple[str, int]:
    """Read `a.test:587`, `192.0.2.1` or `[2001:db8::1]:25`; without a port it is 25. Raises ValueError."""
    if ":" in text and is_ip(text):
        raise ValueError(f"an IPv6 address stands in brackets, [{text}]:{_SMTP}")
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("this is not a host, with or without a port; several hosts are an array of texts")
    return _read_host(match[1]), _SMTP if match[2] is None else read_port(match[2])


def _read_host(text: str) -> str:
    if not text.startswith("["):
        return read_host(text)
    try:
        return str(ipaddress.ip_address(text[1:-1]))
    except ValueError:
        raise ValueError(f"{text} is not an address in brackets; a name stands without them") from None
