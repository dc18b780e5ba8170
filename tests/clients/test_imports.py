"""`smtprelay config import` reads tables as Exim and Postfix themselves do, which answer the same questions."""

import re
import smtplib
import subprocess
from collections.abc import Sequence
from email.parser import BytesHeaderParser
from email.policy import default
from email.utils import getaddresses
from pathlib import Path

import pytest

from harness.debian_packages import NoPackageError
from harness.postfix import Postfix, why_not, write_configuration
from harness.processes import find_program
from harness.sink import Sink
from harness.waiting import until
from mta.config.imports.importing import import_files
from mta.config.imports.tables import lsearch_table, postfix_table
from mta.config.settings import read_settings
from mta.message.envelope import Envelope, Origin, Recipient
from mta.routing.choice import Fail, ViaSmarthost
from mta.rules.book import RuleBook
from mta.rules.facts import Facts
from mta.smtp.address import Address, parse_address
from tests.clients.packages import HOME, NAME, PACKAGE, command_in, prepare, unpacked

_EXIM = f"""\
primary_hostname = {NAME}
exim_path = {PACKAGE}/usr/sbin/exim4
spool_directory = /var/spool/exim
log_file_path = /var/spool/log/%slog
keep_environment =
"""


class Exim:
    """Exim as a calculator: it expands expressions that name files of its home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._package = unpacked("exim4-daemon-light")
        prepare(home, ("Debian-exim",))
        (home / "exim.conf").write_text(_EXIM)

    def expand(self, expressions: Sequence[str]) -> list[str]:
        """Return the results of expressions, one a line."""
        command = command_in(self._package, self.home, [f"{PACKAGE}/usr/sbin/exim4", "-C", f"{HOME}/exim.conf", "-be"])
        text = "".join(f"{expression}\n" for expression in expressions)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        # It prompts if standard input is a terminal only.
        results = [line.removeprefix("> ") for line in done.stdout.splitlines()]
        assert len(results) >= len(expressions), done.stdout + done.stderr
        return results[: len(expressions)]


@pytest.fixture
def exim(tmp_path: Path) -> Exim:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    for folder in (tmp_path, home):
        folder.chmod(0o755)
    try:
        return Exim(home)
    except NoPackageError as error:
        pytest.skip(str(error))


def book(tmp_path: Path, **files: str) -> RuleBook:
    """Return the rules that the relay reads from imported files."""
    directory, secrets = tmp_path / "rules.d", tmp_path / "secrets"
    imported = import_files(files, domains=["host.test"], secrets=secrets, secrets_are_written=True)
    for folder in (directory, secrets):
        folder.mkdir(exist_ok=True)
    for secret in imported.secrets:
        (secrets / secret.name).write_text(secret.password)
    (directory / "10-imported.toml").write_text(imported.text)
    environ = {"QUEUE_DIR": "/nonexistent", "MAILNAME": "relay.test", "NET_DEV": "none0", "RULES_DIR": str(directory)}
    rules = read_settings(environ).rules
    assert rules is not None
    return rules


def address(text: str) -> Address | None:
    return parse_address(text, loose=True) if text else None


def facts(**known) -> Facts:
    return Facts(**{"client": "203.0.113.9", "trusted": False, "sender": address("a@b.test"), **known})


SENDER_LISTS = {
    "plain": "# comment\nbob@example.net # more\nspam.test\n*.bad.test\n*bulk@example.net\n*@*worse.test\n",
    "negated": "domain1.test\n!local@domain2.test\ndomain2.test\n! *@good.domain3.test\n*.domain3.test\n",
    "negated last": "bob@example.net\n!*@example.org\n",
    "expressions": "^spam[0-9]+@.*\\.test$\n^Any\\.one@\n!^a(b|c)@d\\.test$\n*@d.test\n^$\n",
    "everyone": "!boss@example.net\n*\n",
    "signs": "a#b@example.net\nx+y@example.net #c\nX@UPPER.test\n",
}
SENDERS = (
    *("bob@example.net", "BOB@Example.NET", "ann@example.net", "x@spam.test", "x@sub.spam.test", "x@bad.test"),
    *(
        "x@a.bad.test",
        "thebulk@example.net",
        "bulk@example.net",
        "bulky@example.net",
        "x@worse.test",
        "x@muchworse.test",
    ),
    *("x@domain1.test", "local@domain2.test", "x@domain2.test", "x@good.domain3.test", "x@domain3.test"),
    *("x@a.domain3.test", "x@example.org", "spam1@a.test", "spam@a.test", "spam1@a.testing", "any.one@x.test"),
    *(
        "xany.one@x.test",
        "ab@d.test",
        "ad@d.test",
        "a#b@example.net",
        "x+y@example.net",
        "x@upper.test",
        "boss@example.net",
    ),
    "",
)


@pytest.mark.parametrize("name", SENDER_LISTS)
def test_exim_and_the_rules_refuse_the_same_senders(name: str, exim: Exim, tmp_path: Path) -> None:
    (exim.home / "list").write_text(SENDER_LISTS[name])
    told = exim.expand([f"${{if match_address{{{each}}}{{{HOME}/list}}{{y}}{{n}}}}" for each in SENDERS])
    acl = book(tmp_path, local_sender_blacklist=SENDER_LISTS[name]).acl
    assert acl is not None
    ours = [
        "n" if acl.at_recipient(facts(sender=address(each), recipient=address("x@relay.test"))) is None else "y"
        for each in SENDERS
    ]
    assert dict(zip(SENDERS, ours, strict=True)) == dict(zip(SENDERS, told, strict=True))
    assert {"y", "n"} == set(told)


HOST_LISTS = {
    "debian's example": "192.168.10.0/24\n!172.16.10.128/26\n172.16.10.0/24 # comment\n10.0.0.0/8\n",
    "IPv6": "2001:db8::/32\n!192.0.2.7\n192.0.2.6/31\n",
    "negated last": "!192.0.2.0/24\n",
    "everyone": "!192.0.2.7\n*\n",
}
HOSTS = (
    *("192.168.10.1", "192.168.11.1", "172.16.10.1", "172.16.10.130", "172.16.10.200", "10.9.9.9", "192.0.2.6"),
    *("192.0.2.7", "192.0.2.8", "2001:db8::1", "2001:db9::1"),
)


@pytest.mark.parametrize("name", HOST_LISTS)
def test_exim_and_the_rules_refuse_the_same_hosts(name: str, exim: Exim, tmp_path: Path) -> None:
    (exim.home / "list").write_text(HOST_LISTS[name])
    told = exim.expand([f"${{if match_ip{{{each}}}{{{HOME}/list}}{{y}}{{n}}}}" for each in HOSTS])
    acl = book(tmp_path, local_host_blacklist=HOST_LISTS[name]).acl
    assert acl is not None
    ours = [
        "n" if acl.at_recipient(facts(client=each, recipient=address("x@relay.test"))) is None else "y"
        for each in HOSTS
    ]
    assert dict(zip(HOSTS, ours, strict=True)) == dict(zip(HOSTS, told, strict=True))
    assert {"y", "n"} == set(told)


def test_exim_and_the_import_read_the_same_keys_and_values(exim: Exim) -> None:
    text = (
        "# comment\nroot: ops@example.com\nApp : one@example.com  \nplain two@example.com\n"
        'tab:\tthree@example.com\n"quo ted": four@example.com\n"a\\"b": five@example.com\n'
        "continued: six@example.com,\n   seven@example.com\nempty:\nroot: second@example.com\n"
        "colons:a:b c\nspread: x\n# inside\n  y\n  # not a comment\n"
    )
    (exim.home / "table").write_text(text)
    found: dict[str, str] = {}
    for line in lsearch_table(text):
        found.setdefault(line.key, line.value)
    keys = [key for key in found if '"' not in key]
    told = exim.expand([f"${{lookup{{{key}}}lsearch{{{HOME}/table}}{{<$value>}}{{none}}}}" for key in keys])
    assert {key: f"<{found[key]}>" for key in keys} == dict(zip(keys, told, strict=True))
    assert len(keys) == 9


def test_exim_and_the_rules_find_the_same_line_of_hubbed_hosts(exim: Exim, tmp_path: Path) -> None:
    text = (
        "*.example: zero.test\n*.a.example: one.test\n*.deep.a.example: two.test\na.example: three.test\n"
        "b.example: four.test::26\n*.b.example: five.test\nc.example: six.test\n*.c.example: seven.test randomize\n"
        "x.c.example: eight.test\n"
    )
    (exim.home / "hubbed_hosts").write_text(text)
    domains = [
        *("a.example", "x.a.example", "y.x.a.example", "deep.a.example", "z.deep.a.example", "b.example"),
        *("q.b.example", "c.example", "x.c.example", "y.c.example", "other.example", "d.test"),
    ]
    told = exim.expand(
        [f"${{lookup{{{each}}}partial-lsearch{{{HOME}/hubbed_hosts}}{{$value}}{{none}}}}" for each in domains]
    )
    routes = book(tmp_path, hubbed_hosts=text).router
    assert routes is not None
    ours = []
    for each in domains:
        found = routes.choose(facts(recipient=address(f"x@{each}")))
        ours.append("none" if found is None else found.choice.smarthost.hosts[0])  # type: ignore[union-attr]
    expected = []
    for line in told:
        host, _, port = line.partition("::")
        expected.append("none" if line == "none" or "randomize" in line else (host, int(port or 25)))
    assert dict(zip(domains, ours, strict=True)) == dict(zip(domains, expected, strict=True))


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """Return the directory of a Postfix configuration."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    write_configuration(tmp_path, 25, {}, (0, 0))
    return tmp_path / "etc"


POSTFIX_TABLES = {
    "usual": "App@Host1.lan Noreply@example.com\n@b.test  @c.test  \nplain\tvalue with  blanks\n",
    "comments and continued lines": "# x\n\na@b.test one\n  two\n# inside\n   three\n  # inside too\nc@d.test four\n",
    "duplicates": "a@b.test first\nA@B.test second\n",
    "colons": "a: x@y.test\nb:c d\n",
}


@pytest.mark.parametrize("name", POSTFIX_TABLES)
def test_postfix_and_the_import_read_the_same_keys_and_values(name: str, etc: Path) -> None:
    table = etc / "table"
    table.write_text(POSTFIX_TABLES[name])
    postmap = find_program("postmap") or "postmap"
    kinds = subprocess.run(
        [find_program("postconf") or "postconf", "-c", etc, "-m"], capture_output=True, text=True, check=True
    )
    kind = next(each for each in ("lmdb", "hash") if each in kinds.stdout.split())
    subprocess.run([postmap, "-c", etc, f"{kind}:{table}"], check=True, capture_output=True)
    dumped = subprocess.run(
        [postmap, "-c", etc, "-s", f"{kind}:{table}"], check=True, capture_output=True, text=True
    ).stdout
    theirs = dict(line.split("\t", 1) for line in dumped.splitlines())
    ours: dict[str, str] = {}
    for line in postfix_table(POSTFIX_TABLES[name]):
        ours.setdefault(line.key, line.value)
    assert ours == theirs


TRANSPORT = """\
* smtp:[127.0.0.1]:1
.a.test smtp:[127.0.0.1]:2
bob@a.test relay:[127.0.0.1]:3
.deep.a.test :[127.0.0.1]:4
a.test smtp:[127.0.0.1]:5
own.test :
.own.test :
Bad.test error:5.1.1 no such company
"""
RECIPIENTS = (
    *("x@a.test", "bob@a.test", "bob@x.a.test", "x@y.x.a.test", "x@deep.a.test", "x@z.deep.a.test", "x@other.test"),
    *("x@own.test", "x@sub.own.test", "x@bad.test", "x@sub.bad.test"),
)
SENDER_RELAY = """\
@a.test [127.0.0.1]:6
bob@a.test [127.0.0.1]:7
ann@a.test DUNNO
"""
ENVELOPE_SENDERS = ("x@a.test", "bob@a.test", "ann@a.test", "x@sub.a.test", "x@other.test")
#: The port of Postfix's relayhost, to which mail goes that no table concerns.
_OTHERWISE = 9
_TRIED = re.compile(r"to=<([^>]*)>, relay=none, .*\]:([0-9]+): Connection refused")


def port_or_error(postfix: Postfix, sender: str, recipient: str) -> str:
    """Return the port at which Postfix tries to deliver a message, or its words if it refuses the recipient."""
    before = len(postfix.log.read_text())
    with smtplib.SMTP("127.0.0.1", postfix.port) as client:
        try:
            client.sendmail(sender, [recipient], b"Subject: x\r\n\r\n")
        except smtplib.SMTPRecipientsRefused as refused:
            ((_, words),) = refused.recipients.values()
            return words.decode().rpartition("rejected: ")[2]

    def tried() -> dict[str, str]:
        return dict(_TRIED.findall(postfix.log.read_text()[before:]))

    until(lambda: recipient in tried(), what=f"Postfix's attempt for {recipient}")
    return tried()[recipient]


@pytest.fixture
def postfix_here() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)


@pytest.mark.usefixtures("postfix_here")
def test_postfix_and_the_rules_choose_the_same_way_by_recipient_and_by_sender(tmp_path: Path) -> None:
    for name, text in (("transport", TRANSPORT), ("sender_relay", SENDER_RELAY)):
        (tmp_path / name).write_text(text)
    tmp_path.chmod(0o755)
    settings = {
        "transport_maps": f"texthash:{tmp_path}/transport",
        "sender_dependent_relayhost_maps": f"texthash:{tmp_path}/sender_relay",
        "relayhost": f"[127.0.0.1]:{_OTHERWISE}",
    }
    mail = [("s@other.test", each) for each in RECIPIENTS] + [(each, "x@own.test") for each in ENVELOPE_SENDERS]
    routes = book(tmp_path, transport=TRANSPORT, sender_relay=SENDER_RELAY).router
    assert routes is not None
    ours = []
    for sender, recipient in mail:
        found = routes.choose(facts(sender=address(sender), recipient=address(recipient)))
        choice = found.choice if found is not None else None
        if isinstance(choice, ViaSmarthost):
            ours.append(str(choice.smarthost.hosts[0][1]))
        else:
            ours.append(choice.text if isinstance(choice, Fail) else str(_OTHERWISE))
    with Postfix(settings=settings) as postfix:
        theirs = [port_or_error(postfix, *each) for each in mail]
    assert dict(zip(mail, ours, strict=True)) == dict(zip(mail, theirs, strict=True))


MAP = "app@host1.lan noreply@example.com\n@host2.lan @example.org\nann@host2.lan Ann.Lee@example.com\n"
HEADER = b"""\
From: The App <app@host1.lan>\r
Sender: x@host2.lan\r
Reply-To: Ann <ann@host2.lan>\r
To: Group: app@host1.lan, b@host2.lan;\r
Cc: "x@host2.lan" <c@other.test>\r
Subject: app@host1.lan\r
"""
FIELDS = ("From", "Sender", "Reply-To", "To", "Cc", "Subject")
MAPS = {
    "sender_canonical": {
        "sender_canonical_maps": "texthash:{table}",
        "local_header_rewrite_clients": "permit_mynetworks",
    },
    "generic": {"smtp_generic_maps": "texthash:{table}"},
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.usefixtures("postfix_here")
def test_postfix_and_the_rules_change_the_same_addresses(name: str, tmp_path: Path) -> None:
    (tmp_path / "table").write_text(MAP)
    tmp_path.chmod(0o755)
    with Sink() as sink:
        settings = {key: text.format(table=tmp_path / "table") for key, text in MAPS[name].items()}
        with Postfix(settings=settings | {"relayhost": f"[127.0.0.1]:{sink.port}"}) as postfix:
            with smtplib.SMTP("127.0.0.1", postfix.port) as client:
                client.sendmail("app@host1.lan", ["c@other.test"], HEADER + b"\r\n")
            until(lambda: len(sink.messages) > 0, what="the message")
    (message,) = sink.messages
    rewrite = book(tmp_path, **{name: MAP}).rewrite
    assert rewrite is not None
    envelope = Envelope(
        address("app@host1.lan"), (Recipient(parse_address("c@other.test")),), Origin("10.0.3.7", "app", "ESMTP")
    )
    ours = rewrite.apply(facts(trusted=True), envelope, HEADER)
    assert str(ours.envelope.sender) == message.sender == "noreply@example.com"
    assert addresses(ours.block) == addresses(message.content)


def addresses(message: bytes) -> dict[str, list[str]]:
    """Return the addresses in the fields of HEADER, because servers fold and write groups in different ways."""
    parsed = BytesHeaderParser(policy=default).parsebytes(message)
    return {name: [text for _, text in getaddresses(parsed.get_all(name, []))] for name in FIELDS}
