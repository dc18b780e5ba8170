"""Mistakes in files of rules and in settings: the real daemon and `config check` tell all of them in one run."""

import os
import subprocess
from pathlib import Path

from harness.daemon import Daemon, program

FILES = {
    "10-acl.toml": """\
[lists]
staff = ["example.com"]

[[acl]]
recipeint = "bob@example.com"
deny = "no"

[[acl]]
deny = no

[acl]
sender = "example.org"
hold = true
""",
    "20-routes.toml": """\
[[acl]]
sender = "+stuff"
accept = true

[[acl]]
hosts = ["mail.example.com:25"]
defer = "later"

[[router]]
recipient = "example.net"
smarthost = "office"

[[acl]]
recipient = ["example.net",
header.Subject = "x"
deny = "no"
""",
    "30-auth.toml": """\
[auth]

[[acl]]
sender = "example.net"
deny = "450 4.7.1 no"
""",
}
#: The beginnings of all lines that must be told.
TOLD = (
    "PORT='none': ",
    "ALLOWED_SENDERS='bob': ",
    "10-acl.toml:5: recipeint is no condition or action of [[acl]]; did you mean recipient?",
    '10-acl.toml:9: deny = no: text stands in quotes, deny = "no"',
    "10-acl.toml:11: [acl] would be one table; a rule begins with [[acl]]",
    "20-routes.toml:2: +stuff: [lists] has no such list; did you mean staff?",
    "20-routes.toml:6: hosts belongs to [[router]], not to [[acl]]",
    "20-routes.toml:11: smarthost: there is no [smarthost.office]",
    '20-routes.toml:14: recipient = ["example.net",: the array is not closed',
    "30-auth.toml:1: [auth] is no table of rules",
    "30-auth.toml:5: deny: 450 does not fit: ",
)


def files_and_settings(tmp_path: Path) -> dict[str, str]:
    """Write the files, and return the settings with two mistakes."""
    directory = tmp_path / "rules"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(text)
    return {"RULES_DIR": str(directory), "PORT": "none", "ALLOWED_SENDERS": "bob"}


def told(output: str, tmp_path: Path) -> list[str]:
    """Return the lines of an output that tell of mistakes, without the program's name and the directory."""
    lines = [line.partition("smtprelay: ")[2] or line for line in output.splitlines()]
    short = [line.replace(f"{tmp_path}/rules/", "") for line in lines]
    return [line for line in short if line.startswith(("PORT", "ALLOWED", "10-", "20-", "30-"))]


def test_nine_mistakes_in_rules_and_two_in_settings_are_told_by_one_start(tmp_path: Path) -> None:
    relay = Daemon(tmp_path / "relay", **files_and_settings(tmp_path))
    output = relay.start_and_fail(os.EX_CONFIG)
    assert "Traceback" not in output
    assert not relay.queue_dir.exists()
    for words, line in zip(sorted(TOLD), sorted(told(output, tmp_path)), strict=True):
        assert line.startswith(words)


def test_the_same_mistakes_are_told_by_config_check(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "QUEUE_DIR": str(tmp_path / "queue"), **files_and_settings(tmp_path)}
    run = subprocess.run(
        [program("smtprelay"), "config", "check"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    for words, line in zip(sorted(TOLD), sorted(told(run.stderr, tmp_path)), strict=True):
        assert line.startswith(words)
