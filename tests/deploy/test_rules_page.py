"""docs/rules.md: every example is read, and explained as the page says."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import main
from mta.config.settings import read_settings
from tests.deploy.manifests import ROOT
from tests.deploy.pages import blocks

PAGE = ROOT / "docs" / "rules.md"
LISTS = "/etc/smtprelay/lists"
SECRETS = "/run/secrets"
BASE = {
    "QUEUE_DIR": "/nonexistent",
    "MAILNAME": "relay.example.com",
    "NET_DEV": "none0",
    # The password of a smarthost on the page.
    "NEWS_PASSWORD": "correct-horse",
}
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
_FILE_NAME = re.compile(r"# (\S+\.toml)\n")
# A rule in a cell of the table: code with line breaks between its lines.
_RULE = re.compile(r"`\[\[(?:acl|rewrite)\]\]`(?:<br>`[^`]*`)+")
_SETTING = re.compile(r"`((?:ALLOWED_\w+|FORCE_SENDER|MASQUERADE_DOMAINS|REDIRECT_TO|BCC_TO)=[^`]*)`")


@dataclass
class Section:
    """A part of the page: the rules and settings that it shows, and the commands with their output."""

    title: str
    environ: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """A command, the output that the page shows, and the rules and settings before it."""

    line: int
    command: str
    output: list[str]
    environ: dict[str, str]
    rules: dict[str, str]

    def __str__(self) -> str:
        return f"rules.md:{self.line}"


def examples() -> Iterator[Example]:
    """Yield the commands of the page. Settings and rules hold until the next heading, those at the top for the page."""
    titles = [(text.count("\n"), title) for text, title in _before_headings()]
    common: dict[str, str] = {}
    section = Section("")
    for block in blocks(PAGE):
        title = next((title for line, title in reversed(titles) if line < block.line), "")
        if title != section.title:
            section = Section(title)
        if block.language == "ini":
            found = dict(line.split("=", 1) for line in block.text.splitlines())
            (section.environ if title else common).update(found)
        elif block.language == "toml":
            name = _FILE_NAME.match(block.text)
            assert name is not None, f"line {block.line} names no file"
            section.rules = {name[1]: block.text}
        elif block.language == "console":
            for command, output in _commands(block.text):
                yield Example(block.line, command, output, common | section.environ, section.rules)


def _before_headings() -> Iterator[tuple[str, str]]:
    text = PAGE.read_text()
    return ((text[: found.start()], found[1]) for found in _HEADING.finditer(text))


def _commands(text: str) -> Iterator[tuple[str, list[str]]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *output = part.splitlines()
        yield command, output


def run(command: str, environ: dict[str, str], rules: dict[str, str], folder: Path) -> Result:
    """Run a command of the page with rules in the folder."""
    lists = folder / "lists"
    lists.mkdir()
    for name in ("former-staff", "local_sender_blacklist"):
        (lists / name).write_text("# gone\ncarl@example.com\n*@spam.test\n")
    secrets = folder / "secrets"
    secrets.mkdir()
    for name in ("office", "news-user"):
        (secrets / name).write_text("battery-staple\n")
    directory = folder / "rules.d"
    directory.mkdir()
    for name, text in rules.items():
        (directory / name).write_text(text.replace(LISTS, str(lists)).replace(SECRETS, str(secrets)))
    program, *words = shlex.split(command)
    assert program == "smtprelay"
    return CliRunner().invoke(main, words, env=BASE | {"RULES_DIR": str(directory)} | environ)


EXAMPLES = [example for example in examples() if not example.command.startswith("smtprelay config import ")]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_is_explained_as_the_page_says(example: Example, tmp_path: Path) -> None:
    told = run(example.command, example.environ, example.rules, tmp_path)
    shown = iter(told.stdout.splitlines())
    # The page may leave lines out.
    assert [line for line in example.output if line not in shown] == [], told.output
    refused = any(" refused " in line or ": returned " in line for line in example.output)
    assert told.exit_code == int(refused), told.output


def test_the_page_has_examples_of_the_verdicts() -> None:
    shown = "\n".join(line for each in EXAMPLES for line in each.output)
    for verdict in ("accepted: ", "refused at RCPT: ", "refused at MAIL: ", "held after the data: ", "passes over "):
        assert verdict in shown


def test_the_imported_file_of_the_page_becomes_the_rules_of_the_page(tmp_path: Path) -> None:
    (file,) = (block.text for block in blocks(PAGE) if block.language == "text" and block.text.startswith("# /etc/"))
    (example,) = (each for each in examples() if each.command.startswith("smtprelay config import "))
    heading, _, text = file.partition("\n")
    path = Path(heading.removeprefix("# "))
    (tmp_path / path.name).write_text(text)
    words = shlex.split(example.command.replace(str(path.parent), str(tmp_path)))[1:]
    shown = iter(CliRunner().invoke(main, words).stdout.splitlines())
    assert [line for line in example.output if line not in shown] == []


@dataclass(frozen=True)
class Case:
    """A message for a row of the table, and the verdict that the rule of the row gives."""

    words: str
    told: str


USUAL = "--from app@example.com --to bob@example.net --client 10.0.3.7"
#: By the left cell of each row: a message that its rule is about.
ROWS = {
    "Exim: `local_sender_blacklist` with": Case(
        "--from spam@example.net --to x@example.org", "550 5.7.1 sender rejected"
    ),
    "Exim: `local_sender_blacklist` as": Case("--from x@spam.test --to x@example.org", "550 5.7.1 sender rejected"),
    "Exim: `local_sender_whitelist`": Case("--from boss@example.org --to x@example.org", "accepted: "),
    "Exim: `local_host_blacklist`": Case(f"{USUAL} --client 192.0.2.9 --to x@example.org", "550 5.7.1 this host may"),
    "Exim: `local_host_whitelist`": Case(f"{USUAL} --client 192.0.2.7 --to x@example.org", "; by 10-acl.toml:1"),
    "Exim: `deny senders": Case("--from '<>' --to x@example.org", "550 5.7.1 no bounces here"),
    "Exim: `deny message": Case(f"{USUAL} --header 'Subject: The Lottery'", "after the data: 550 5.7.1 no;"),
    "Exim: `require verify": Case(
        f"{USUAL} --header 'From: me@other.test'", "550 5.7.1 From is an address of example.com"
    ),
    "Postfix: `smtpd_sender_restrictions": Case(
        "--from a@b.example.org --to x@example.org", "550 5.7.1 sender rejected"
    ),
    "Postfix: `check_sender_access`": Case(f"{USUAL} --from a@other.test", "by ALLOWED_SENDERS"),
    "Postfix: `smtpd_recipient_restrictions": Case(f"{USUAL} --to ceo@example.com", "550 5.7.1 not by machines"),
    "Postfix: `check_recipient_access`": Case(USUAL, "by ALLOWED_RECIPIENTS"),
    "Postfix: `check_client_access` with `192.0.2.7 REJECT`": Case(
        "--from a@b.test --to x@example.org --client 192.0.2.7", "550 5.7.1 this host may not send here"
    ),
    "Postfix: `check_client_access` with `192.0.2.7 DEFER": Case(
        "--from a@b.test --to x@example.org --client 192.0.2.7", "deferred at RCPT: 451 4.7.1 later"
    ),
    "Postfix: `check_helo_access`": Case(
        "--from a@b.test --to x@example.org --client 192.0.2.7 --helo localhost.localdomain", "give your own name"
    ),
    "Postfix: `header_checks` with `/^Subject: .*lottery": Case(
        f"{USUAL} --header 'Subject: lottery'", "after the data: 550"
    ),
    "Postfix: `header_checks` with `/^X-Mailer: Bulk": Case(
        f"{USUAL} --header 'X-Mailer: BulkMailer 2.1'", "held after the data: "
    ),
    "Postfix: `HOLD`": Case(f"{USUAL} --from trainee@example.com", "held: 10.0.3.7 may send anywhere"),
    "Postfix: `reject_plaintext_session`": Case(
        "--from a@b.test --to x@example.org --client 192.0.2.7", "530 5.7.0 use STARTTLS"
    ),
    "boky/postfix: `ALLOWED": Case(f"{USUAL} --from a@other.test", "by ALLOWED_SENDERS"),
    "Exim: `email-addresses`": Case(f"{USUAL} --from app@x.lan", "sender app@x.lan -> noreply@example.com"),
    "Exim: a rewriting rule `*@*": Case(
        USUAL, "FORCE_SENDER: sender app@example.com -> noreply@example.com; From: nor"
    ),
    "Exim: a rewriting rule `root": Case(f"{USUAL} --from root@x.lan", "sender root@x.lan -> ops@example.com"),
    "Exim: `return_path`": Case(USUAL, "10-acl.toml:1: sender app@example.com -> bounces@example.com\n"),
    "Exim: `headers_remove": Case(f"{USUAL} --header 'X-Mailer: x'", "X-Mailer removed"),
    "Exim: `headers_add`": Case(USUAL, "X-Tag: main"),
    "Postfix: `sender_canonical_maps`": Case(
        f"{USUAL} --from app@host1.lan --header 'From: A <app@host1.lan>'",
        "sender app@host1.lan -> noreply@example.com; From: A <noreply@example.com>",
    ),
    "Postfix: `recipient_canonical_maps`": Case(
        f"{USUAL} --to a@old.test --header 'To: a@old.test'",
        "To: a@example.com",
    ),
    "Postfix: `smtp_generic_maps`": Case(f"{USUAL} --from x@host1.lan", "sender x@host1.lan -> noreply@example.com"),
    "Postfix: `masquerade_domains": Case(f"{USUAL} --from x@host1.example.com", "-> x@example.com"),
    "Postfix: `virtual_alias_maps": Case(USUAL, "recipient bob@example.net -> dev@example.com"),
    "Postfix: `always_bcc": Case(USUAL, "BCC_TO: a copy to archive@example.com"),
    "Postfix: `sender_bcc_maps`": Case(USUAL, "a copy to archive@example.com"),
    "Postfix: `recipient_bcc_maps`": Case(USUAL, "a copy to archive@example.com"),
    "Postfix: `header_checks` with `/^X-Mailer:/": Case(f"{USUAL} --header 'X-Mailer: x'", "X-Mailer removed"),
    "Postfix: `header_checks` with `/^Subject: .*report": Case(f"{USUAL} --header 'Subject: a report'", "X-Tag: main"),
    "Postfix: `header_checks` with `/^From": Case(USUAL, "From: Shop <noreply@example.com>"),
    "Postfix: `header_checks` with `/^Received": Case(
        f"{USUAL} --header 'Received: from x by y'", "the client is hidden; earlier hosts are hidden"
    ),
}
COMMON = {"RELAY_NETWORKS": "10.0.0.0/8", "RELAY_DOMAINS": "example.org"}


def rows() -> dict[str, str]:
    """Return the right cells of the table of migration by the left ones."""
    text = PAGE.read_text().partition("## Coming from Exim or Postfix\n")[2]
    cells = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")]
    return dict(cells[1:])


def row_of(beginning: str) -> str:
    (right,) = (right for left, right in rows().items() if left.startswith(beginning))
    return right


@pytest.mark.parametrize("beginning", ROWS)
def test_a_row_of_the_table_is_a_rule_that_does_what_the_row_says(beginning: str, tmp_path: Path) -> None:
    right = row_of(beginning)
    rule = _RULE.search(right)
    text = "" if rule is None else "\n".join(re.findall(r"`([^`]*)`", rule[0]))
    environ = dict(found.split("=", 1) for found in _SETTING.findall(right))
    assert text or environ
    case = ROWS[beginning]
    told = run(f"smtprelay explain {case.words}", COMMON | environ, {"10-acl.toml": text}, tmp_path)
    assert case.told in told.stdout, told.output


def test_every_row_with_a_rule_has_a_case() -> None:
    with_rule = [left for left, right in rows().items() if _RULE.search(right) or _SETTING.search(right)]
    assert [left for left in with_rule if not any(left.startswith(each) for each in ROWS)] == []


def test_the_words_of_a_mistake_are_those_of_the_relay(tmp_path: Path) -> None:
    (shown,) = (block.text.strip() for block in blocks(PAGE) if "did you mean" in block.text)
    rules = {"10-acl.toml": '[[acl]]\nname = "x"\n\n\nrecipeint = "bob@example.com"\ndeny = "no"\n'}
    told = run("smtprelay explain --from a@b.test --to c@d.test", {}, rules, tmp_path)
    assert told.exit_code == 2
    assert shown.rpartition("/")[2] in told.stderr


def test_the_mistake_of_a_wrong_order_is_told_in_the_words_of_the_page(tmp_path: Path) -> None:
    (text,) = (block.text for block in blocks(PAGE) if block.text.startswith("# 20-providers.toml\n"))
    smarthosts, first, second = text.rsplit("[[router]]", 2)
    rules = {"20-providers.toml": f"{smarthosts}[[router]]{second}\n[[router]]{first}"}
    told = run("smtprelay explain --from a@b.test --to c@d.test", {}, rules, tmp_path)
    (shown,) = (block.text.strip() for block in blocks(PAGE) if "can never apply" in block.text)
    assert shown in told.stderr


def test_the_settings_of_the_page_have_no_mistakes() -> None:
    for example in EXAMPLES:
        assert read_settings(BASE | example.environ).trusted
