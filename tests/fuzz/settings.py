"""The settings: any environment. Mistakes are reported in lines that name the setting, and no line has a secret."""

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from mta.config.setting import SettingsError
from mta.config.settings import read_settings
from mta.config.sources.macros import parse_macros
from mta.config.summary import startup_summary
from mta.config.table import SETTINGS
from mta.inbound.networks import IPNetwork
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

#: Stands in every secret, and nowhere else.
_CANARY = b"Canary-Zq9x"
_SECRETS = {setting.name for setting in SETTINGS if setting.secret}
_NAMES = tuple(setting.name.encode() for setting in SETTINGS)
_MISTAKEN = re.compile(rf"({'|'.join(setting.name for setting in SETTINGS)})(?:_FILE)?(?:=| and |: )")
_MAX_LINE = 1200
_SIZE = 1 << 11


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables as the kernel hands them over, and the text of a macros file."""

    variables: tuple[tuple[bytes, bytes], ...]
    macros: bytes = b""

    def decoded(self) -> dict[str, str]:
        """Return it as a process sees it, a canary in each secret that is set."""
        found = {os.fsdecode(name): os.fsdecode(value) for name, value in self.variables}
        marked = {name: _CANARY.decode() + name + found[name] for name in _SECRETS & found.keys() if found[name]}
        return found | marked


def _networks(device: str) -> tuple[IPNetwork, ...]:
    if device != "eth0":
        raise OSError(19, "No such device")
    return (ipaddress.ip_network("192.0.2.0/24"),)


def check(environment: Environment) -> None:
    """Read an environment; every outcome but settings and SettingsError is a fault."""
    _check_macros(environment.macros)
    try:
        settings = read_settings(
            environment.decoded(), host_name=lambda: "host.test", networks=_networks, root=Path("/nowhere")
        )
    except SettingsError as error:
        _check_mistakes(error.mistakes)
        return
    for line in settings.notices:
        _check_line(line)
    for line in startup_summary(settings):
        assert _CANARY.decode() not in line
    assert _CANARY.decode() not in " ".join(map(str, settings.effective))
    # A user's name is masked in lines, and shown for debugging.
    assert not re.search(rf"{_CANARY.decode()}\w+_(PASSWORD|SECRET|TOKEN|ACCOUNT|USERS)", repr(settings))
    _check_round_trip(environment.decoded())


def _check_mistakes(mistakes: Sequence[str]) -> None:
    assert mistakes
    for line in mistakes:
        _check_line(line)
        assert _MISTAKEN.match(line), line
    assert len({line.partition("=")[0] for line in mistakes}) == len(mistakes)


def _check_line(line: str) -> None:
    assert is_line(line)
    assert len(line) <= _MAX_LINE
    assert _CANARY.decode() not in line


def _check_round_trip(environ: dict[str, str]) -> None:
    """Assert that the shown form of a setting is read as the same value."""
    for setting in SETTINGS:
        text = environ.get(setting.name, "").strip()
        if text and not setting.secret:
            value = setting.value_type.read(text)
            shown = setting.value_type.show(value)
            assert setting.value_type.read(shown or setting.default) == value, setting.name


def _check_macros(text: bytes) -> None:
    macros = parse_macros(text.decode(errors="replace"), "/macros")
    for line in macros.notices:
        _check_line(line)
    assert len(macros.notices) <= 41


# The two ways to an input


def read(tape: Tape) -> Environment:
    """Read an environment: variables parted by NUL, the first octet of each the number of its name, macros last."""
    *lines, macros = tape.rest().split(b"\0")
    variables = []
    for line in lines:
        number, value = line[:1], line[1:]
        name = _NAMES[number[0] % len(_NAMES)] if number else b"OTHER"
        variables.append((name, value))
    return Environment(tuple(variables), macros)


_VALUES = (
    *(
        b"25",
        b"0",
        b"70000",
        b"587",
        b"*",
        b"x.test",
        b"*.x.test",
        b"!",
        b"10.0.0.0/8",
        b"192.0.2.1",
        b"::1",
        b"fd00::/8",
    ),
    *(
        b"fd00::::/8",
        b"[2001:db8::1]",
        b"::",
        b":",
        b";",
        b",",
        b" ",
        b"/",
        b"eth0",
        b"lmtp:",
        b"lmtp:a:24",
        b"lmtp:/run/x",
    ),
    *(
        b"maildir",
        b"F,2h,15m",
        b"G,16h,1h,1.5",
        b"1d12h",
        b"1w",
        b"50M",
        b"0.5",
        b"auto",
        b"true",
        b"no",
        b"allow",
        b"verify",
    ),
    *(
        b"^",
        b"(a+)+",
        b"[a-z]",
        b"{9}",
        b"\\",
        b"$",
        b"relaxed",
        b"simple",
        b"json",
        b"us-east-1",
        b"/nowhere",
        b"/dev/null",
    ),
    *(
        b"/",
        b"a" * 64,
        b"a" * 300,
        b"\xc3\xbc",
        b"\xff",
        b"\xe2\x80\xae",
        b"\n",
        b"\r",
        b"\t",
        b"\x1b",
        b"-",
        b"_",
        b".",
        b"%eth0",
    ),
    *(b":{PLAIN}x", b"|{PLAIN}x", b"{", b"}", b"|", b"$5$", b" @x.test", b"never", b"trusted", b"usgov", b"465"),
    *(b"https://x.test/token", b"http://x.test/", b"https://[::1]:1/", b"?x=1", b"@", b"x.onmicrosoft.com"),
    *(b"1", b"9" * 12, b"'", b'"', b"=", b"#", b"a b", b"\xe3\x80\x82", b"\xd9\xa0", b"\xc2\xb2"),
)
_MACROS = (
    *(b"MAIN_HARDCODE_PRIMARY_HOSTNAME", b"MESSAGE_SIZE_LIMIT", b"DKIM_PRIVATE_KEY", b"DKIM_SELECTOR", b"DKIM_CANON"),
    *(b"IGNORE_SMTP_LINE_LENGTH_LIMIT", b"REMOTE_SMTP_SMARTHOST_PROTOCOL", b"REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS"),
    *(
        b"=",
        b" = ",
        b"==",
        b"\n",
        b"\n",
        b"\\\n",
        b"#",
        b".ifdef X\n",
        b".endif\n",
        b"${if exists{/k}{/k}{0}}",
        b"${",
        b"}",
        b"{",
    ),
    *(b"smtps", b"*", b":", b"50M", b"x.test", b"DKIM_FILE", b"\x1b", b"\xe2\x80\xa8", b"\xff", b"\x0c"),
)
_OTHERS = (b"SMARTHOST_ADRESS", b"PORT_FILE", b"RELAY_NETWORK", b"DKIM_" + b"A" * 80, b"PATH", b"RELAY_SERVICE_HOST")
_SECRET_FILES = tuple(f"{name}_FILE".encode() for name in sorted(_SECRETS))
environments = st.builds(
    Environment,
    st.lists(
        st.tuples(st.sampled_from(_NAMES + _NAMES + _SECRET_FILES + _OTHERS), sentences(_VALUES, 6)), max_size=4
    ).map(tuple),
    st.just(b"") | sentences(_MACROS, 12),
)


def _shape(name: str, setting: str, make: Callable[[int], bytes]) -> Growth[Environment]:
    return Growth(f"{setting}: {name}", lambda size: Environment(((setting.encode(), make(size)),)), _SIZE)


def _macro(name: str, make: Callable[[int], bytes]) -> Growth[Environment]:
    return Growth(f"macros: {name}", lambda size: Environment((), make(size)), _SIZE)


GROWTH = (
    _shape("users", "AUTH_USERS", lambda n: b" a:{PLAIN}x" * (n // 11)),
    _shape("lines of users", "AUTH_USERS", lambda n: b"\na:{PLAIN}x" * (n // 11)),
    _shape("commas", "AUTH_USERS", lambda n: b":{PLAIN}" + b"," * n),
    _shape("names behind commas", "AUTH_USERS", lambda n: b",a" * (n // 2)),
    _shape("networks", "PROXY_NETWORKS", lambda n: b"10.0.0.1;" * (n // 9)),
    _shape("a host", "SMARTHOST_TOKEN_URL", lambda n: b"https://" + b"a" * n),
    _shape("brackets", "SMARTHOST_TOKEN_URL", lambda n: b"https://" + b"[" * n),
    _shape("scopes", "SMARTHOST_TOKEN_SCOPE", lambda n: b"a " * (n // 2)),
    _shape("a tenant", "O365_TENANT", lambda n: b"a." * (n // 2)),
    _shape("names", "RELAY_NETWORKS", lambda n: b"x.test:" * (n // 7)),
    _shape("addresses", "RELAY_NETWORKS", lambda n: b"10.0.0.1;" * (n // 9)),
    _shape("colons", "RELAY_NETWORKS", lambda n: b":" * n),
    _shape("groups", "RELAY_NETWORKS", lambda n: b"1:" * (n // 2)),
    _shape("doubled groups", "RELAY_NETWORKS", lambda n: b"1::" * (n // 3)),
    _shape("exclusions", "RELAY_NETWORKS", lambda n: b"!" * n),
    _shape("domains", "RELAY_DOMAINS", lambda n: b"".join(b"a%d.test:" % number for number in range(n // 9))),
    _shape("one domain", "RELAY_DOMAINS", lambda n: b"a" * n),
    _shape("a domain abroad", "RELAY_DOMAINS", lambda n: "ü".encode() * (n // 2)),
    _shape("stars", "OTHER_HOSTNAMES", lambda n: b"*" * n),
    _shape("hosts", "SMARTHOST_ADDRESS", lambda n: b"x.test::25:" * (n // 11)),
    _shape("brackets", "SMARTHOST_ADDRESS", lambda n: b"[" * n),
    _shape("one host", "SMARTHOST_ADDRESS", lambda n: b"x" * n),
    _shape("a host of labels", "SMARTHOST_ADDRESS", lambda n: b"x." * (n // 2)),
    _shape("patterns", "SMARTHOST_ALIASES", lambda n: b"*.x.test;" * (n // 9)),
    _shape("an expression", "SMARTHOST_ALIASES", lambda n: b"^" + b"[" * n),
    _shape("rules", "RETRY_SCHEDULE", lambda n: b"F,2h,15m;" * (n // 9)),
    _shape("times", "RETRY_SCHEDULE", lambda n: b"F," + b"1h" * (n // 2) + b",15m"),
    _shape("commas", "RETRY_SCHEDULE", lambda n: b"," * n),
    _shape("blanks", "RETRY_SCHEDULE", lambda n: b"F" + b" " * n + b"x"),
    _shape("servers", "DNS_SERVERS", lambda n: b"192.0.2.1 " * (n // 10)),
    _shape("digits", "DNS_SERVERS", lambda n: b"1" * n),
    _shape("digits", "PORT", lambda n: b"1" * n),
    _shape("labels", "DKIM_SELECTOR", lambda n: b"a." * (n // 2)),
    _shape("a path", "QUEUE_DIR", lambda n: b"/a" * (n // 2)),
    _shape("a path", "ALIASES_FILE", lambda n: b"/a" * (n // 2)),
    _shape("a socket", "LOCAL_DELIVERY", lambda n: b"lmtp:" + b"[" * n),
    Growth("a variable like ours", lambda n: Environment(((b"RELAY_" + b"A" * n, b"x"),)), _SIZE),
    Growth("variables like ours", lambda n: Environment(tuple((b"DKIM_A%d" % i, b"x") for i in range(n // 256)))),
    _macro("lines", lambda n: b"A = b\n" * (n // 6)),
    _macro("continued lines", lambda n: b"a\\\n" * (n // 3)),
    _macro("blanks", lambda n: b"A" + b" " * n + b"b"),
    _macro("blanks in an expansion", lambda n: b"A = ${if exists{F}{F}" + b" " * n + b"x"),
    _macro("braces", lambda n: b"A = " + b"${if exists{" * (n // 12)),
    _macro("conditions", lambda n: b".ifdef X\n" * (n // 9)),
)
TARGET = Target("settings", check, read, environments, _VALUES + _MACROS + (b"\0",), GROWTH)
