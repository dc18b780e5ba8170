"""`smtprelay dkim`: new keys, and their comparison with a DNS server."""

import re
import stat
from pathlib import Path

import dns.rdata
import pytest
from click.testing import CliRunner, Result
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.dns_server import DnsServer
from harness.zone import Zone
from mta.cli.main import main
from mta.dkim.keys import dns_record, new_key, read_key, to_pem

RSA = new_key("dkim", "rsa")
ED25519 = new_key("s2", "ed25519")
BASE = {"NET_DEV": "none0", "MAILNAME": "mail.test", "DKIM_KEY_PATH": "", "DKIM_SELECTOR": ""}


def run(*words: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["dkim", *words], env=BASE | environ)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def txt(output, name):
    """Return what a DNS server would make of a record in the output."""
    _, _, rest = output.partition(f"\n{name}. IN TXT ")
    line = rest.split("\n")[0]
    if line.startswith("("):
        line = rest[: rest.index(")") + 1]
    return b"".join(dns.rdata.from_text("IN", "TXT", line).strings).decode()


@pytest.mark.parametrize("type", ["rsa", "ed25519"])
def test_keygen_writes_a_key_that_only_its_owner_can_read_and_prints_its_records(type, tmp_path):
    made = run("keygen", "A.test", "--type", type)
    assert made.exit_code == 0
    path = tmp_path / "a.test.dkim.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = read_key("dkim", path.read_bytes())
    assert key.type == type
    assert txt(made.stdout, "dkim._domainkey.a.test") == dns_record(key)
    assert txt(made.stdout, "a.test") == "v=spf1 a:mail.test ~all"


def test_the_name_of_a_key_file_is_durable_too(tmp_path, synced):
    run("keygen", "a.test", "--out", str(tmp_path))
    assert synced == [tmp_path / "a.test.dkim.pem", tmp_path]


def test_keygen_prints_a_zone_file():
    lines = run("keygen", "a.test").stdout.splitlines()
    assert all(re.match(r";|\t\"|[a-z0-9._]+\. IN TXT ", line) for line in lines)


def test_keygen_never_overwrites_a_key(tmp_path):
    run("keygen", "a.test")
    before = (tmp_path / "a.test.dkim.pem").read_bytes()
    again = run("keygen", "a.test")
    assert again.exit_code == 1
    assert again.stderr.startswith("smtprelay: a.test.dkim.pem exists already")
    assert again.stdout == ""
    assert (tmp_path / "a.test.dkim.pem").read_bytes() == before


def test_keygen_writes_the_key_to_the_given_place(tmp_path):
    (tmp_path / "keys").mkdir()
    run("keygen", "a.test", "--out", "one.pem")
    run("keygen", "a.test", "--out", "keys", "--selector", "s1")
    run("keygen", "b.test", DKIM_KEY_PATH="keys", DKIM_SELECTOR="s3")
    run("keygen", "c.test", DKIM_KEY_PATH="one.pem")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.pem"))
    assert found == ["c.test.dkim.pem", "keys/a.test.s1.pem", "keys/b.test.s3.pem", "one.pem"]


def test_keygen_makes_a_longer_key_when_asked(tmp_path):
    run("keygen", "a.test", "--bits", "3072", "--out", "long.pem")
    assert read_key("dkim", (tmp_path / "long.pem").read_bytes()).bits == 3072


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("keygen", "not a domain"), 2, "malformed domain"),
        (("keygen", "a.test", "--bits", "1024"), 2, "--bits"),
        (("keygen", "a.test", "--out", "no/such/place.pem"), 1, "cannot be written: No such file or directory"),
        (("check",), 1, "DKIM_KEY_PATH is not set"),
    ],
)
def test_a_command_that_fails_gives_the_reason(words, status, said):
    result = run(*words)
    assert result.exit_code == status
    assert said in result.stderr


def test_check_of_a_broken_key_reports_the_same_as_a_start(tmp_path):
    (tmp_path / "key.pem").write_bytes(b"hello")
    result = run("check", "a.test", DKIM_KEY_PATH="key.pem")
    assert result.exit_code == 1
    assert result.stderr.startswith("smtprelay: DKIM_KEY_PATH=key.pem: no private key in PEM form")


def test_check_of_one_key_needs_a_domain(tmp_path):
    (tmp_path / "key.pem").write_bytes(to_pem(RSA))
    result = run("check", DKIM_KEY_PATH="key.pem")
    assert result.exit_code == 1
    assert "give the DOMAIN to check" in result.stderr


class CheckTests(TestCase):
    """The whole way: files, settings, and a DNS server on loopback."""

    def setUp(self) -> None:
        self.zone = Zone()
        self.server = DnsServer(self.zone)
        self.port = self.server.listen(reactor)
        self.addCleanup(self.server.stop)
        self.keys = Path("keys")
        self.keys.mkdir()

    def publish(self, name, key):
        text = dns_record(key)
        self.zone.add(f"{name}", TXT=[" ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))])

    async def check(self, *words):
        servers = f"127.0.0.1:{self.port}"
        environ = {"DKIM_KEY_PATH": str(self.keys), "DNS_SERVERS": servers}
        result = await deferToThread(run, "check", *words, **environ)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout.splitlines()

    async def test_each_key_in_the_directory_gets_a_line(self):
        (self.keys / "a.test.pem").write_bytes(to_pem(RSA))
        (self.keys / "b.test.s2.pem").write_bytes(to_pem(ED25519))
        (self.keys / "mail.c.test.pem").write_bytes(to_pem(ED25519))
        self.publish("dkim._domainkey.a.test", RSA)
        self.publish("s2._domainkey.b.test", RSA)
        status, lines = await self.check()
        assert status == 1
        differs, missing, ok = sorted(lines)
        assert ok == "ok: dkim._domainkey.a.test (rsa, 2048 bits)"
        assert differs == (
            "differs: s2._domainkey.b.test (ed25519, 256 bits): the record has another key;"
            f' publish s2._domainkey.b.test. IN TXT "{dns_record(ED25519)}"'
        )
        assert missing.startswith(
            "missing: dkim._domainkey.mail.c.test (ed25519, 256 bits): the DNS has no such record"
        )

    async def test_all_is_well_when_the_dns_has_each_key(self):
        (self.keys / "a.test.pem").write_bytes(to_pem(RSA))
        (self.keys / "a.test.mail.pem").write_bytes(to_pem(ED25519))
        self.publish("dkim._domainkey.a.test", RSA)
        self.publish("mail._domainkey.a.test", ED25519)
        status, lines = await self.check()
        assert status == 0
        assert [line[:3] for line in lines] == ["ok:", "ok:"]

    async def test_one_domain_is_checked_as_its_mail_is_signed(self):
        (self.keys / "a.test.pem").write_bytes(to_pem(RSA))
        self.publish("dkim._domainkey.a.test", RSA)
        assert await self.check("A.test") == (0, ["ok: dkim._domainkey.a.test (rsa, 2048 bits)"])
        assert await self.check("b.test") == (1, [])

    async def test_a_dns_that_fails_is_no_missing_record(self):
        (self.keys / "a.test.pem").write_bytes(to_pem(RSA))
        self.zone.fail("dkim._domainkey.a.test")
        status, (line,) = await self.check()
        assert status == 1
        assert line.startswith("unknown: dkim._domainkey.a.test (rsa, 2048 bits): the DNS query failed: ")
        assert len(line) < 200
