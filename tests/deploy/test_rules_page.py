"""docs/rules.md: every example is read, and explained as the page says."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
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
_HEADING = re.compile(r"^(###?) .*$", re.MULTILINE)
_FILE_NAME = re.compile(r"# (\S+\.toml)\n")


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
    """Yield the commands of the page with the settings and rules that hold there.

    Rules hold until the next heading, and so do settings, but those of a section hold in its parts, too, and those at
    the top for the page.
    """
    text = PAGE.read_text()
    headings = [(text.count("\n", 0, found.start()), found[1]) for found in _HEADING.finditer(text)]
    # By the sign of the heading, "" at the top.
    environs: dict[str, dict[str, str]] = {"": {}}
    level, rules = "", dict[str, str]()
    for block in blocks(PAGE):
        while headings and headings[0][0] < block.line:
            level, rules = headings.pop(0)[1], {}
            environs = {each: environ for each, environ in environs.items() if len(each) < len(level)} | {level: {}}
        if block.language == "ini":
            environs[level] |= dict(line.split("=", 1) for line in block.text.splitlines())
        elif block.language == "toml":
            name = _FILE_NAME.match(block.text)
            assert name is not None, f"line {block.line} names no file"
            rules = {name[1]: block.text}
        elif block.language == "console":
            environ = {name: value for each in environs.values() for name, value in each.items()}
            for command, output in _commands(block.text):
                yield Example(block.line, command, output, environ, rules)


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


EXAMPLES = list(examples())


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
