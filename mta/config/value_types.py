"""The value types of settings. Their readers raise ValueError with words for the operator."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from mta.config.identity import read_identity
from mta.config.schedule import read_schedule, write_schedule
from mta.config.setting import ValueType
from mta.config.sources import exim
from mta.config.trust import read_trust
from mta.delivery.local.rule import LocalKind, LocalRule
from mta.inbound.networks import TrustList
from mta.routing.hostpatterns import check_pattern
from mta.smtp.address import Address, bracketed, is_ip, parse_address, parse_domain

T = TypeVar("T")

_DNS_PORT = 53
_SERVER = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::([0-9]+))?")
_SCOPE = re.compile(r"[A-Za-z0-9_.\-]{1,15}")
_COUNT = re.compile(r"[0-9]{1,9}")
_AUTO = "auto"
#: The largest number of processes.
MAX_WORKERS = 64
_DAYS = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,6})?")
_DEVICE = re.compile(r"[^\s/:\x00]{1,15}")
_NODE_NAME = re.compile(r"[A-Za-z0-9._\-]{1,255}")
_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_NO_TOKEN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,253}[A-Za-z0-9])?")
_SCOPES = re.compile(r"[!#-\[\]-~]+(?: +[!#-\[\]-~]+)*")
_URL = re.compile(r"[!-~]{1,2000}")
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9_\-]{0,61}[a-z0-9])?", re.IGNORECASE)
_LMTP_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]+):([0-9]+)")
_BLANKS_AND_COMMAS = re.compile(r"[\s,]+")


def optional(value_type: ValueType[T]) -> ValueType[T | None]:
    """Return the type of a value that may be empty, which reads as None."""

    def read(text: str) -> T | None:
        return value_type.read(text) if text else None

    def show(value: T | None) -> str:
        return "" if value is None else value_type.show(value)

    return ValueType(read, show)


def read_mail_address(text: str) -> Address:
    """Return an address with a domain. Raises ValueError."""
    address = parse_address(text)
    if not address.domain:
        raise ValueError("it has no domain: write postmaster@example.org")
    return address


def choice(values: Mapping[str, T]) -> ValueType[T]:
    """Return the type of a value that is one of these words, in any case of letters."""

    def read(text: str) -> T:
        try:
            return values[text.lower()]
        except KeyError:
            raise ValueError(f"not one of {', '.join(values)}") from None

    return ValueType(read, lambda value: next(word for word in values if values[word] == value))


def read_count(text: str) -> int:
    """Read a number that may be 0."""
    if not _COUNT.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text)


def read_days(text: str) -> float:
    """Read a number of days, which may have a fraction."""
    if not _DAYS.fullmatch(text):
        raise ValueError("not a number of days")
    return float(text)


def read_workers(text: str) -> int:
    """Read a number of processes; 0 stands for `auto`."""
    if text.lower() == _AUTO:
        return 0
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= MAX_WORKERS:
        raise ValueError(f"not a whole number from 1 to {MAX_WORKERS}, or {_AUTO}")
    return int(text)


def read_ipv4(text: str) -> str:
    """Read an IPv4 address to listen on."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("not an IPv4 address") from None


def read_ipv6(text: str) -> str:
    """Read an IPv6 address to listen on, which may have a scope."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("not an IPv6 address") from None
    if address.scope_id and not _SCOPE.fullmatch(address.scope_id):
        raise ValueError("the text after % cannot be the name of an interface")
    return str(address)


def read_mail_name(text: str) -> str:
    """Read the relay's own name: a host name, not an address or a literal."""
    name = parse_domain(text.removesuffix("."))
    if name.startswith("[") or name.rpartition(".")[2].isdigit():
        raise ValueError("it is an address, not a host name")
    return name


def read_device(text: str) -> str:
    """Read the name of a network interface, which need not exist."""
    if not _DEVICE.fullmatch(text):
        raise ValueError("not the name of an interface")
    return text


def read_queue_url(text: str) -> str:
    """Read the URL of a PostgreSQL database, which stays a text, as it may have a password. "" is none."""
    if text:
        # Imported if needed: few relays share their queue.
        from mta.queue.postgres.url import read_server  # noqa: PLC0415

        read_server(text)
    return text


def show_queue_url(text: str) -> str:
    """Return a text of QUEUE_URL, which may be wrong, with its password masked."""
    if not text:
        return ""
    from mta.queue.postgres.url import show_url  # noqa: PLC0415

    return show_url(text)


def read_node_name(text: str) -> str:
    """Read the name of a relay among those that share a queue; "" is none."""
    if text and not _NODE_NAME.fullmatch(text):
        raise ValueError("not up to 255 letters, digits, dots, dashes and underscores")
    return text


def read_region(text: str) -> str:
    """Read the name of an AWS region."""
    if not _REGION.fullmatch(text):
        raise ValueError("not a region")
    return text


def read_secret(text: str) -> str:
    """Read a user name or password that a login can carry (RFC 4616: no NUL; UTF-8)."""
    if _UNSENDABLE.search(text):
        raise ValueError("it has characters that a login cannot transmit")
    return text


def read_token_text(text: str) -> str:
    """Read a part of an OAuth 2 grant, which has no control characters (RFC 6749 appendix A)."""
    if _NO_TOKEN.search(text):
        raise ValueError("it has characters that a login cannot transmit")
    return text


def read_scope(text: str) -> str:
    """Read OAuth 2 scopes that are separated by blanks (RFC 6749 section 3.3)."""
    if text and not _SCOPES.fullmatch(text):
        raise ValueError("not scopes separated by blanks")
    return " ".join(text.split())


def read_https_url(text: str) -> str:
    """Read the address of an HTTPS endpoint. Tokens and secrets go there, so `http` is an error."""
    problem = "not the address of a token endpoint, https://host/path"
    if not _URL.fullmatch(text):
        raise ValueError(problem)
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0 and not parts.fragment and "@" not in parts.netloc
    except ValueError:
        raise ValueError(problem) from None
    if parts.scheme == "http":
        raise ValueError("the token endpoint must be https, because the relay's secrets are sent to it")
    if parts.scheme != "https" or not usable:
        raise ValueError(problem)
    return text


def read_tenant(text: str) -> str:
    """Read a directory of Microsoft 365: its id, or one of its domains."""
    if not _TENANT.fullmatch(text) or ".." in text:
        raise ValueError("not the id of a tenant, nor one of its domains")
    return text


def read_networks(text: str) -> TrustList:
    """Read networks and addresses as in RELAY_NETWORKS, without host names."""
    found = read_trust(text)
    if found.names:
        raise ValueError(f"{found.names[0]!r} is a host name; only networks and addresses may stand here")
    return found


def read_path(text: str) -> Path:
    """Read the path of a file or directory."""
    if "\0" in text:
        raise ValueError("not a path")
    return Path(text)


def read_selector(text: str) -> str:
    """Read a DKIM selector: labels of a DNS name (RFC 6376 section 3.1)."""
    if len(text) > 190 or not all(map(_SELECTOR.fullmatch, text.split("."))):
        raise ValueError("not a selector: letters, digits, dashes and dots")
    return text.lower()


def read_canon(text: str) -> tuple[str, str]:
    """Read canonicalizations of header and body (RFC 6376 section 3.4), `relaxed/simple`; one word means both."""
    header, slash, body = text.lower().partition("/")
    both = (header, body if slash else header)
    if not {"simple", "relaxed"}.issuperset(both):
        raise ValueError("not simple or relaxed, or two of these separated by a slash")
    return both


def read_local_rule(text: str) -> LocalRule:
    """Read `maildir`, `maildir-create`, `lmtp:host:port`, `lmtp:[2001:db8::1]:24` or `lmtp:/path/of/socket`."""
    word, _, where = text.partition(":")
    for kind in (LocalKind.MAILDIR, LocalKind.MAILDIR_CREATE):
        if text.lower() == kind.value:
            return LocalRule(kind)
    if word.lower() != LocalKind.LMTP.value:
        raise ValueError("not maildir, maildir-create, lmtp:host:port or lmtp:/path")
    if where.startswith("/"):
        return LocalRule(LocalKind.LMTP, path=read_path(where))
    match = _LMTP_HOST.fullmatch(where)
    if match is None:
        raise ValueError("not lmtp:host:port or lmtp:/path")
    return LocalRule(LocalKind.LMTP, exim.read_host(match[1]), exim.read_port(match[2]))


def read_servers(text: str) -> tuple[tuple[str, int], ...]:
    """Read `192.0.2.53, 127.0.0.1:5353, [::1]:53`: addresses with a port each, by default 53."""
    return tuple(_server(item) for item in re.split(r"[,;\s]+", text) if item)


def _server(text: str) -> tuple[str, int]:
    if is_ip(text):
        return (read_ipv6(text) if ":" in text else text), _DNS_PORT
    match = _SERVER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an IP address, with or without a port")
    port = exim.read_port(match[3]) if match[3] else _DNS_PORT
    return (read_ipv4(match[2]) if match[2] else read_ipv6(match[1])), port


def read_listen(text: str) -> tuple[str, int]:
    """Read `127.0.0.1:9125`, `[::1]:9125` or `:9125`: an address and a port to listen on; "" stands for all."""
    address, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("not an address and a port, such as 127.0.0.1:9125, or a port alone, such as :9125")
    if address.startswith("[") and address.endswith("]"):
        return read_ipv6(address[1:-1]), exim.read_port(port)
    return (read_ipv4(address) if address else ""), exim.read_port(port)


def write_listen(listen: tuple[str, int]) -> str:
    """Return the text that `read_listen` reads."""
    address, port = listen
    return f"{bracketed(address) if address else ''}:{port}"


def read_patterns(text: str) -> tuple[str, ...]:
    """Read host patterns separated by `;`, or also by blanks and commas unless they are regular expressions."""
    return tuple(pattern for item in text.split(";") for pattern in _patterns(item.strip()))


def _patterns(text: str) -> list[str]:
    patterns = [text] if text.startswith("^") else [item.lower() for item in _BLANKS_AND_COMMAS.split(text) if item]
    for pattern in patterns:
        try:
            check_pattern(pattern)
        except OverflowError:
            raise ValueError(f"{pattern!r} repeats too often") from None
    return patterns


def _join(write: Callable[[str, int], str]) -> Callable[[tuple[tuple[str, int], ...]], str]:
    return lambda servers: ", ".join(write(*server) for server in servers)


PORT = ValueType(exim.read_port)
OPTIONAL_PORT = optional(PORT)
COUNT = ValueType(read_count)
SIZE = ValueType(exim.read_size, exim.write_size)
#: 0 stands for `auto`.
WORKERS = ValueType(read_workers, lambda number: str(number or _AUTO))
DAYS = ValueType(read_days, lambda days: f"{days:.12g}")
#: Any text sets the flag.
FLAG: ValueType[bool] = ValueType(bool, lambda flag: "yes" if flag else "")
#: Set by the word `true` only.
TRUE: ValueType[bool] = ValueType(lambda text: text.lower() == "true", lambda flag: "true" if flag else "")
SECRET = ValueType(read_secret)
TOKEN_TEXT = ValueType(read_token_text)
SCOPE = ValueType(read_scope)
HTTPS_URL = optional(ValueType(read_https_url))
TENANT = optional(ValueType(read_tenant))
PATH = ValueType(read_path)
OPTIONAL_PATH = optional(PATH)
QUEUE_URL = ValueType(read_queue_url, show_queue_url, show_queue_url)
NODE_NAME = ValueType(read_node_name)
SELECTOR = ValueType(read_selector)
CANON = ValueType(read_canon, "/".join)
LOCAL_RULE = ValueType(read_local_rule)
IPV4 = ValueType(read_ipv4)
IPV6 = ValueType(read_ipv6)
MAIL_ADDRESS = optional(ValueType(read_mail_address, str))
MAIL_NAME = optional(ValueType(read_mail_name))
IDENTITY = optional(ValueType(read_identity))
DEVICE = ValueType(read_device)
REGION = ValueType(read_region)
TRUST = ValueType(read_trust)
NETWORKS = ValueType(read_networks)
DOMAINS = ValueType(exim.read_domains)
HOSTS = ValueType(exim.read_hosts, exim.write_hosts)
PATTERNS = ValueType(read_patterns, "; ".join)
LISTEN = optional(ValueType(read_listen, write_listen))
SCHEDULE = ValueType(read_schedule, write_schedule)
SERVERS = ValueType(read_servers, _join(lambda host, port: f"{bracketed(host)}:{port}"))
