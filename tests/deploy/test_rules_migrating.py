"""docs/rules-migrating.md: each row is a rule or setting that does what the row says, and the usual ones have a row."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.certificates import self_signed
from mta.cli.main import main
from tests.deploy.manifests import ROOT
from tests.deploy.migration_cases import CASES
from tests.deploy.pages import blocks
from tests.deploy.test_rules_page import run

PAGE = ROOT / "docs" / "rules-migrating.md"
COMMON = {
    "RELAY_NETWORKS": "10.0.0.0/8",
    "RELAY_DOMAINS": "example.org",
    "NET_DEV": "none0",
    "AUTH_USERS": "shop:{PLAIN}secret\nnewsletter:{PLAIN}secret",
    "AUTH_IN_CLEAR": "trusted",
}
# Rules in a cell: lines of code with line breaks between them, of which the first is a header.
_RULES = re.compile(r"`\[[^`]*\]`(?:<br>`[^`]*`)+")
_SETTING = re.compile(r"`([A-Z][A-Z0-9_]+)=([^`]*)`")
# A host that all patterns of hosts on the page match.
KNOWN_HOST = "old.partner.test"
#: The settings, macros, tables and files that operators are known to use, each of which must have a row.
IN_USE = (
    "email-addresses",
    "hubbed_hosts",
    "passwd.client",
    "local_host_blacklist",
    "local_sender_blacklist",
    "local_host_whitelist",
    "local_sender_whitelist",
    "*@* noreply@example.com Ffrs",
    "root@*",
    "DKIM_DOMAIN",
    "REMOTE_SMTP_HELO_DATA",
    "REMOTE_SMTP_INTERFACE",
    "REMOTE_SMTP_HOSTS_REQUIRE_TLS",
    "REMOTE_SMTP_HEADERS_REWRITE",
    "REMOTE_SMTP_RETURN_PATH",
    "REMOTE_SMTP_TRANSPORTS_HEADERS_REMOVE",
    "senders = *@example.com",
    "ratelimit",
    "A retry rule `partner.test",
    "sender_canonical_maps",
    "recipient_canonical_maps",
    "smtp_generic_maps",
    "virtual_alias_maps",
    "masquerade_domains",
    "transport_maps",
    "sender_dependent_relayhost_maps",
    "sasl_passwd",
    "smtp_tls_policy_maps",
    "/^X-Mailer:/ IGNORE",
    "PREPEND",
    "REPLACE",
    "/^Subject: .*lottery/ REJECT",
    "always_bcc",
    "sender_bcc_maps",
    "smtp_destination_rate_delay",
    "smtp_destination_concurrency_limit",
    "smtp_bind_address",
    "smtp_helo_name",
    "smtpd_sender_login_maps",
    "check_sender_access",
    "check_recipient_access",
    "check_client_access",
    "maximal_queue_lifetime",
    "ALLOWED_SENDER_DOMAINS",
)


def rows() -> dict[str, str]:
    """Return the right cells of all tables by the left ones."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines]
    return {left: right for left, right in cells if left not in {"there", "server"}}


def row_of(beginning: str) -> str:
    (right,) = (right for left, right in rows().items() if left.startswith(beginning))
    return right


def rules_of(cell: str) -> str:
    found = _RULES.search(cell)
    return "" if found is None else "\n".join(re.findall(r"`([^`]*)`", found[0]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the rows name."""
    for name in ("office", "smarthost", "app"):
        (tmp_path / name).write_text("secret")
    (tmp_path / "own-ca.pem").write_bytes(self_signed("ca.example.test").certificate_pem)
    return tmp_path


@pytest.mark.parametrize("beginning", CASES)
def test_a_row_is_a_rule_or_setting_that_does_what_the_row_says(beginning: str, folder: Path) -> None:
    def here(text: str) -> str:
        return text.replace("/run/secrets/", f"{folder}/").replace("/etc/ssl/", f"{folder}/")

    right = row_of(beginning)
    text = here(rules_of(right))
    environ = {name: here(value) for name, value in _SETTING.findall(right)}
    assert text or environ
    if "SMARTHOST_TLS" in environ:
        environ["SMARTHOST_ADDRESS"] = "smtp.example.com"
    if "[[transport]]" in text and "host = " in text:
        # Without a look-up this is the only host that is known.
        environ["SMARTHOST_ADDRESS"] = KNOWN_HOST
    case = CASES[beginning]
    told = run(f"smtprelay {case.command}", COMMON | environ, {"10-own.toml": text} if text else {}, folder)
    assert case.told in told.stdout, told.output


def test_every_row_with_a_rule_or_setting_has_a_case() -> None:
    shown = [left for left, right in rows().items() if rules_of(right) or _SETTING.search(right)]
    assert [left for left in shown if not any(left.startswith(each) for each in CASES)] == []
    assert len(shown) >= 60


@pytest.mark.parametrize("name", IN_USE)
def test_a_setting_that_operators_use_has_a_row(name: str) -> None:
    assert any(name in left for left in rows()), name


def test_the_imported_file_of_the_page_becomes_the_rules_of_the_page(tmp_path: Path) -> None:
    (file,) = (block.text for block in blocks(PAGE) if block.language == "text" and block.text.startswith("# /etc/"))
    (example,) = (block.text for block in blocks(PAGE) if block.language == "console")
    command, *output = example.removeprefix("$ ").splitlines()
    heading, _, text = file.partition("\n")
    path = Path(heading.removeprefix("# "))
    (tmp_path / path.name).write_text(text)
    words = shlex.split(command.replace(str(path.parent), str(tmp_path)))[1:]
    shown = iter(CliRunner().invoke(main, words).stdout.splitlines())
    assert [line for line in output if line not in shown] == []
