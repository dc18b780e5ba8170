"""`smtprelay config import` reads a directory, prints TOML, and writes passwords only where it is told to."""

import stat
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import main
from mta.config.imports.importing import KNOWN_FILES
from mta.config.settings import read_settings
from tests.config.imports.test_importing import FILES


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["config", "import", *map(str, words)])


def test_rules_go_to_standard_output_and_a_notice_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "transport").write_text("a.test smtp:[b.test]\nc.test slow:\n")
    told = run(tmp_path)
    assert told.exit_code == 0
    assert tomllib.loads(told.stdout)["router"][0]["hosts"] == ["b.test:25"]
    assert told.stderr == "notice: 1 line is left out; the comments tell the reasons\n"


def test_files_are_found_in_the_usual_folders(tmp_path: Path) -> None:
    for folder, name in (("", "email-addresses"), ("exim4", "hubbed_hosts"), ("postfix", "transport")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(FILES[name])
    told = run(tmp_path)
    for name in ("email-addresses", "hubbed_hosts", "transport"):
        assert f"# ---- {name}\n" in told.stdout


def test_names_of_docker_mailserver_are_known(tmp_path: Path) -> None:
    (tmp_path / "postfix-relaymap.cf").write_text("@example.com [smtp.example.org]:587\n")
    (tmp_path / "postfix-sasl-password.cf").write_text("@example.com relay:hidden\n")
    told = run(tmp_path)
    assert tomllib.loads(told.stdout)["router"] == [
        {"name": "sender_relay", "sender": "example.com", "smarthost": "example-com"}
    ]


def test_domains_of_the_host_complete_local_parts(tmp_path: Path) -> None:
    (tmp_path / "email-addresses").write_text("app: noreply@example.com\n")
    told = run(tmp_path, "--domain", "Host.lan.")
    assert "app@host.lan -> noreply@example.com" in told.stdout


def test_the_same_file_in_two_folders_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "postfix").mkdir()
    for folder in ("", "postfix"):
        (tmp_path / folder / "transport").write_text(FILES["transport"])
    told = run(tmp_path)
    assert told.exit_code == 1
    assert "are both there" in told.stderr


def test_a_directory_without_a_known_file_is_an_error(tmp_path: Path) -> None:
    told = run(tmp_path)
    assert told.exit_code == 1
    assert f"{tmp_path} has none of the files" in told.stderr
    assert run(tmp_path / "missing").exit_code == 2


@pytest.mark.parametrize("content", [b"x" * ((1 << 20) + 1), None])
def test_a_file_that_is_too_long_or_no_file_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "transport"
    path.mkdir() if content is None else path.write_bytes(content)
    told = run(tmp_path)
    assert told.exit_code == 1
    assert told.stderr.startswith(f"smtprelay: {path}: ")
    assert told.stdout == ""


def test_octets_that_are_not_utf_8_are_in_no_rule(tmp_path: Path) -> None:
    (tmp_path / "transport").write_bytes(b"a.test smtp:[b\xff.test]\nc.test smtp:[d.test]\r\n")
    told = run(tmp_path)
    assert [rule["recipient"] for rule in tomllib.loads(told.stdout)["router"]] == ["c.test"]


def test_passwords_are_written_for_their_owner_only(tmp_path: Path) -> None:
    (tmp_path / "passwd.client").write_text("smtp.example.net:relay:hidden\n")
    secrets = tmp_path / "secrets"
    told = run(tmp_path, "--secrets", secrets)
    table = tomllib.loads(told.stdout)["smarthost"]["smtp-example-net"]
    path = Path(table["password_file"])
    assert path == secrets / "smtp-example-net"
    assert path.read_text() == "hidden"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert "hidden" not in told.output
    assert run(tmp_path, "--secrets", secrets).stdout == told.stdout


def test_without_secrets_no_password_is_written(tmp_path: Path) -> None:
    (tmp_path / "passwd.client").write_text("smtp.example.net:relay:hidden\n")
    told = run(tmp_path)
    assert 'password_file = "/run/secrets/smtp-example-net"' in told.stdout
    assert "hidden" not in told.output
    assert [path.name for path in tmp_path.iterdir()] == ["passwd.client"]


@pytest.mark.parametrize("made", ["file", "link", "directory"])
def test_another_file_is_never_overwritten(tmp_path: Path, made: str) -> None:
    (tmp_path / "passwd.client").write_text("a.test:u:one\nb.test:u:two\n")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    other = secrets / "b-test"
    if made == "file":
        other.write_text("precious")
    elif made == "link":
        other.symlink_to(tmp_path / "nowhere")
    else:
        other.mkdir()
    told = run(tmp_path, "--secrets", secrets)
    assert told.exit_code == 1
    assert f"{other} is there and has another content" in told.stderr
    assert [path.name for path in secrets.iterdir()] == ["b-test"]
    assert told.stdout == ""
    assert "precious" not in told.output


def test_rules_of_supported_stages_are_taken_by_the_relay(tmp_path: Path) -> None:
    for name in ("local_host_blacklist", "local_sender_blacklist", "email-addresses", "recipient_bcc", "generic"):
        (tmp_path / name).write_text(FILES[name])
    rules = tmp_path / "rules.d"
    rules.mkdir()
    (rules / "10-imported.toml").write_text(run(tmp_path).stdout)
    environ = {"QUEUE_DIR": "/nonexistent", "MAILNAME": "relay.example.com", "NET_DEV": "none0"}
    book = read_settings(environ | {"RULES_DIR": str(rules)}).rules
    assert book is not None
    assert book.acl is not None
    assert book.rewrite is not None
    assert (len(book.acl.rules), len(book.rewrite.rules)) == (2, 3)


RELAY = {
    "QUEUE_DIR": "/nonexistent",
    "MAILNAME": "relay.example.com",
    "NET_DEV": "none0",
    "RELAY_NETWORKS": "10.0.0.0/8",
    "RELAY_DOMAINS": "example.org",
}
USUAL = "--from app@example.com --to bob@other.test --client 10.0.3.7"
#: By the file that it confirms: a message, and a part of its explanation.
EXPLAINED = {
    "local_host_blacklist": (
        "--from a@b.test --to x@example.org --client 192.0.2.9",
        "this host is locally blacklisted",
    ),
    "host_local_deny_exceptions": ("--from a@b.test --to x@example.org --client 192.0.2.7", "acl        accepted: "),
    "local_host_whitelist": ("--from a@spam.test --to x@example.org --client 192.0.2.8", "acl        accepted: "),
    "local_sender_blacklist": ("--from a@spam.test --to x@example.org --client 203.0.113.9", "this sender is locally"),
    "sender_local_deny_exceptions": (
        "--from boss@spam.test --to x@example.org --client 192.0.2.9",
        "acl        accepted: ",
    ),
    "local_sender_whitelist": ("--from chief@spam.test --to x@example.org --client 192.0.2.9", "acl        accepted: "),
    "email-addresses": (f"{USUAL} --from root@any.lan", "sender root@any.lan -> ops@example.com"),
    "sender_canonical": (
        f"{USUAL} --from app@host1.lan",
        '"sender_canonical": sender app@host1.lan -> noreply@example.com',
    ),
    "generic": (f"{USUAL} --from x@host2.lan", "sender x@host2.lan -> noreply@example.com"),
    "sender_bcc": (f"{USUAL} --from app@example.com", '"sender_bcc": a copy to archive@example.com'),
    "recipient_bcc": (f"{USUAL} --to bob@example.net", '"recipient_bcc": a copy to copies@example.com'),
    "passwd.client": (f"{USUAL} --to x@direct.test", "[smarthost.smtp-example-net]"),
    "sasl_passwd": (f"{USUAL} --to x@out.test", "[smarthost.smtp-example-org]"),
    "hubbed_hosts": (f"{USUAL} --to x@hub.test", "mail.hub.test:25"),
    "transport": (f"{USUAL} --from a@b.test --to x@out.test", "smtp.example.org:587"),
    "sender_relay": (USUAL, '"sender_relay": '),
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the settings of a relay that has the rules of all known files."""
    folder = tmp_path_factory.mktemp("etc")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    told = run(folder, "--secrets", folder / "secrets")
    assert told.exit_code == 0
    (folder / "rules.d").mkdir()
    # passwd.client names no mail that goes by its login, so a rule of the operator's does here.
    own = '[[router]]\nrecipient = "direct.test"\nsmarthost = "smtp-example-net"\n'
    (folder / "rules.d" / "05-own.toml").write_text(own)
    (folder / "rules.d" / "10-imported.toml").write_text(told.stdout)
    return RELAY | {"RULES_DIR": str(folder / "rules.d")}


def test_config_check_takes_the_rules_of_all_known_files(imported: dict[str, str]) -> None:
    told = CliRunner().invoke(main, ["config", "check"], env=imported)
    assert told.exit_code == 0, told.output
    assert "10 in 10-imported.toml" in told.stdout
    assert "-secret" not in told.output


@pytest.mark.parametrize("name", KNOWN_FILES)
def test_explain_confirms_the_rules_of_each_known_file(name: str, imported: dict[str, str]) -> None:
    words, part = EXPLAINED[name]
    told = CliRunner().invoke(main, ["explain", *words.split()], env=imported)
    assert part in told.stdout, told.output
    assert "-secret" not in told.output
