"""Reads QUEUE_URL, the address of a PostgreSQL database, to the parameters of a connection.

A password in the URL is accepted, and never shown. Nothing here needs the driver.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

SCHEMES = ("postgresql", "postgres")
_MAX_URL = 4000
_MAX_HOSTS = 16
_DEFAULT_PORT = "5432"
_MASK = "****"
# Unix sockets in a directory, and abstract ones.
_SOCKET = ("/", "@")
# The authority ends at the first of these characters; after it come the database and the parameters.
_URL = re.compile(r"(?P<scheme>[a-z]+)://(?P<authority>[^/?#]*)(?:/(?P<database>[^?#]*))?(?:\?(?P<parameters>[^#]*))?")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::([0-9]*))?")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAME = re.compile(r"[a-z_]{1,40}")
_NO_TEXT = re.compile("[\x00-\x1f\x7f]")
# From the first colon after the scheme to the last @, because a password may have characters that should have been
# written as %XX. Of a strange but correct URL this hides more than the password.
_PASSWORD = re.compile(r"\A((?>(?:[A-Za-z]+://)?)[^:]*):(.*)@", re.DOTALL)
_PASSWORD_PARAMETER = re.compile(r"(?i)(password\s*=\s*)(?:'[^']*'|[^&#\s]*)")

#: What QUEUE_URL may set after its question mark (libpq, "Parameter Key Words"); the session sets the rest itself.
PARAMETERS = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "host",
        "hostaddr",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "passfile",
        "port",
        "require_auth",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
    }
)
#: Parameters of libpq that the URL has elsewhere, or may not have.
_REMEDIES = {
    "password": "set QUEUE_PASSWORD",
    "sslpassword": "the key of sslkey must have none",
    "user": "it stands before the @",
    "dbname": "it stands after the hosts and a /",
    "options": "the relay sets the options of its sessions",
}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_VERIFIED = "verify-full"
_WRITABLE = ("read-write", "primary")
# A host that is silent is given up after 10 s, so that the next one can be tried.
_DEFAULTS = {
    "application_name": "smtprelay",
    "client_encoding": "UTF8",
    "target_session_attrs": "read-write",
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL database: its hosts in the order of trial, and the user that the relay is there."""

    user: str
    database: str
    #: Names, addresses or directories of Unix sockets, each with its port.
    hosts: tuple[tuple[str, int], ...]
    #: The parameters of a connection by their names in libpq, without the password.
    parameters: tuple[tuple[str, str], ...]
    #: The user's password, "" if there is none.
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return the URL without password and parameters, for a log."""
        if any(host.startswith(_SOCKET) for host, _ in self.hosts):
            hosts = ",".join(host for host, _ in self.hosts)
            return f"postgresql://{self.user}@/{self.database}?host={hosts}"
        hosts = ",".join(_shown_host(host, port) for host, port in self.hosts)
        return f"postgresql://{self.user}@{hosts}/{self.database}"

    def connection_parameters(self) -> dict[str, str]:
        """Return the keyword arguments of `psycopg.connect`. They have the password, and must not be shown."""
        return dict(self.parameters) | ({"password": self.password} if self.password else {})

    def with_password(self, password: str) -> "Server":
        """Return the same database with the password of QUEUE_PASSWORD; raise ValueError if the URL has one too."""
        if password and self.password:
            raise ValueError("the URL has a password, and QUEUE_PASSWORD is set; keep one of them")
        return replace(self, password=password or self.password)

    @property
    def unverified(self) -> str:
        """The value of `sslmode` if the connection goes to another host that need not prove its name, else ""."""
        mode = dict(self.parameters)["sslmode"]
        return "" if mode == _VERIFIED or all(_is_local(host) for host, _ in self.hosts) else mode


def read_server(url: str, *, authorities: str = "system") -> Server:
    """Return the database that a URL names, `postgresql://user@host:5432,host2/database?parameter=value`.

    `authorities` is the file of trusted certificates if the URL has no `sslrootcert`. Raises ValueError with words for
    the operator, which have no part of a password.
    """
    if len(url) > _MAX_URL:
        raise ValueError(f"it is longer than {_MAX_URL} characters")
    match = _URL.fullmatch(url)
    if match is None or match["scheme"] not in SCHEMES:
        raise ValueError("not a URL of the form postgresql://user@host/database")
    login, _, authority = match["authority"].rpartition("@")
    user, _, password = login.partition(":")
    name = _decoded("user", user)
    if not name:
        raise ValueError("it names no user; a password with / ? # or % has %2F %3F %23 or %25 in their place")
    parameters = _read_parameters(match["parameters"] or "")
    hosts = _read_hosts(authority, parameters)
    if re.search("[@/]", match["database"] or ""):
        raise ValueError("after the hosts it has / or @, which in a password or the database is %2F or %40")
    database = _decoded("database", match["database"] or "") or name
    parameters = _checked(parameters, hosts, authorities) | {
        "user": name,
        "dbname": database,
        "host": ",".join(host for host, _ in hosts),
        "port": ",".join(str(port) for _, port in hosts),
    }
    return Server(name, database, hosts, tuple(parameters.items()), _decoded("password", password))


def show_url(text: str) -> str:
    """Return a text of QUEUE_URL, which may be wrong, with a mask in place of each password."""
    return _PASSWORD_PARAMETER.sub(rf"\1{_MASK}", _PASSWORD.sub(rf"\1:{_MASK}@", text))


def _read_parameters(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for pair in filter(None, text.split("&")):
        name, equals, value = pair.partition("=")
        if name in _REMEDIES:
            raise ValueError(f"{name} is no parameter of this URL: {_REMEDIES[name]}")
        if name not in PARAMETERS or not equals:
            # With an @, or without a name, this may be the rest of a password.
            shown = f": {name}" if equals and "@" not in text and _NAME.fullmatch(name) else ""
            raise ValueError(f"it has an unknown parameter after the question mark{shown}")
        if name in parameters:
            raise ValueError(f"{name} stands there twice")
        parameters[name] = _decoded(name, value)
    return parameters


def _read_hosts(authority: str, parameters: dict[str, str]) -> tuple[tuple[str, int], ...]:
    """Return the hosts with their ports, from the authority or the parameters `host` and `port`, which are removed."""
    host, port = parameters.pop("host", ""), parameters.pop("port", "")
    if authority and host:
        raise ValueError("it names hosts before the database and in the parameter host; keep one of them")
    found = list(_hosts_of_parameters(host, port) if host else _hosts_of_authority(authority, port))
    if len(found) > _MAX_HOSTS:
        raise ValueError(f"it names more than {_MAX_HOSTS} hosts")
    return tuple(found)


def _hosts_of_authority(authority: str, port: str) -> Iterator[tuple[str, int]]:
    for each in authority.split(","):
        match = _HOST.fullmatch(each)
        if match is None:
            raise ValueError("a host with its port cannot be read: db1.example.com:5432, or [2001:db8::1]:5432")
        host = _decoded("host", match[1])
        if not host or "," in host:
            raise ValueError("it names no host; a directory of Unix sockets is written as ?host=/run/postgresql")
        yield host.strip("[]"), _read_port(match[2] or port or _DEFAULT_PORT)


def _hosts_of_parameters(host: str, port: str) -> Iterator[tuple[str, int]]:
    hosts, ports = host.split(","), port.split(",")
    if len(ports) not in (1, len(hosts)):
        raise ValueError("it has another number of ports than of hosts")
    for number, each in enumerate(hosts):
        if not each:
            raise ValueError("a host in the parameter host is empty")
        yield each, _read_port((ports[number] if len(ports) > 1 else ports[0]) or _DEFAULT_PORT)


def _read_port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise ValueError("a port is not a number from 1 to 65535")
    return int(text)


def _decoded(name: str, text: str) -> str:
    """Return a part of the URL without %XX. Raises ValueError, whose words do not have the part."""
    if _BROKEN_ESCAPE.search(text):
        raise ValueError(f"the {name} has a % without two hexadecimal digits: % is written as %25")
    try:
        decoded = unquote(text, errors="strict")
        decoded.encode()
    except UnicodeError:
        raise ValueError(f"the {name} is not UTF-8") from None
    if _NO_TEXT.search(decoded):
        raise ValueError(f"the {name} has a control character")
    return decoded


def _checked(given: Mapping[str, str], hosts: tuple[tuple[str, int], ...], authorities: str) -> dict[str, str]:
    """Return the parameters of a connection with the relay's defaults. Raises ValueError."""
    parameters = {**_DEFAULTS, **given}
    if parameters["target_session_attrs"] not in _WRITABLE:
        raise ValueError(f"target_session_attrs is not one of {', '.join(_WRITABLE)}: the relay must write")
    for name in ("connect_timeout", "tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count"):
        if not re.fullmatch(r"[1-9][0-9]{0,5}", parameters[name]):
            raise ValueError(f"{name} is not a whole number above 0")
    local = all(_is_local(host) for host, _ in hosts)
    if parameters.setdefault("sslmode", "prefer" if local else _VERIFIED) not in _SSL_MODES:
        raise ValueError(f"sslmode is not one of {', '.join(_SSL_MODES)}")
    if parameters["sslmode"] in ("verify-ca", _VERIFIED):
        parameters.setdefault("sslrootcert", authorities)
    return parameters


def _is_local(host: str) -> bool:
    """Whether connections to a host do not leave this machine: a loopback address or a Unix socket."""
    if host.startswith(_SOCKET) or host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _shown_host(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == int(_DEFAULT_PORT) else f"{name}:{port}"
