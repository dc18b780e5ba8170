"""No secret in any word of the relay's: log, errors, commands, command lines, environments of workers, files."""

import base64
import os
import re
import signal
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.certificates import authority, self_signed
from harness.daemon import Daemon
from harness.sink_rules import Rule
from harness.waiting import until
from mta.cli.config.command import check_settings, explain_settings, show_settings
from mta.config.setting import SettingsError
from mta.config.table import SETTINGS
from tests.endtoend import secret_search
from tests.endtoend.mails import mail
from tests.endtoend.secret_search import commands, of_process, on_disk, processes, said
from tests.endtoend.world import TO

SECRETS = [setting.name for setting in SETTINGS if setting.secret]
# Unlike anything else; the colon and the NUL of PLAIN make other base64 of the same letters.
VALUE = {name: f"hush-{number}-{name.lower()}:X%/9" for number, name in enumerate(SECRETS)}
PAIRS = sorted(name.removesuffix("_PASSWORD") for name in SECRETS if name.endswith("_PASSWORD"))
ROOT = authority()
DEFERRED = re.compile(r'"event": "deferred"| deferred id=')

ALL = tuple(VALUE.values())


def leaks(*texts: bytes) -> list[bytes]:
    """Return the forms of secrets that stand in texts."""
    return secret_search.leaks(ALL, *texts)


def is_read_by_others(pid: int) -> bool:
    """Whether another user may read the environment of a process."""
    somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    looked = subprocess.run([*somebody, "cat", f"/proc/{pid}/environ"], capture_output=True, check=False)
    return looked.returncode == 0 or looked.stdout != b""


def test_the_search_finds_a_secret_however_it_is_wrapped():
    for value in VALUE.values():
        for text in (value, f"\0user\0{value}", f"me {value} you", f"abcd{value}"):
            assert leaks(base64.b64encode(text.encode()))
            assert leaks(text.encode())
    assert not leaks(b"SMARTHOST_PASSWORD = ****")


def echo(text: str) -> str:
    """Return the words of a server that repeats what it refuses."""
    encoded = base64.b64encode(text.encode()).decode()
    return f"535 5.7.8 no: {text} {encoded}"


PLAIN = f"\0{VALUE['SMARTHOST_USER']}\0{VALUE['SMARTHOST_PASSWORD']}"


# The answers of the smarthost at one attempt after the other.
def login_refusals() -> list[Rule]:
    """Return the answers of a server that repeats the login which it refuses."""
    encoded = base64.b64encode(PLAIN.encode()).decode()
    return [
        Rule("AUTH", echo(VALUE["SMARTHOST_PASSWORD"]), times=1),
        Rule("AUTH", "535 5.7.8 no " + PLAIN.replace("\0", " "), times=1),
        Rule("AUTH", f"535 5.7.8 {encoded}", times=1),
        Rule("AUTH", f"334 {encoded}", times=1),
    ]


REFUSALS = [Rule("STARTTLS", "454 4.7.0 not now", times=1), *login_refusals()]


@pytest.mark.parametrize(
    ("more", "mechanisms", "rules"),
    [
        ({}, ("PLAIN",), REFUSALS),
        ({"LOG_FORMAT": "text", "WORKERS": "2"}, ("PLAIN", "LOGIN", "CRAM-MD5"), []),
    ],
    ids=["each refusal", "several workers"],
)
def test_a_login_that_fails_tells_no_secret(world, tmp_path, more, mechanisms, rules):
    # A server that refuses by a rule knows the password.
    users = {VALUE["SMARTHOST_USER"]: VALUE["SMARTHOST_PASSWORD"]} if rules else {"another": "one"}
    server = tuple(map(str, ROOT.leaf(["localhost"], ["127.0.0.1"]).write(tmp_path, "sink")))
    sink = world.sink(*rules, tls=server, users=users, mechanisms=mechanisms)
    relay = world.relay(
        sink,
        SMARTHOST_ADDRESS="127.0.0.1",
        SMARTHOST_PORT=str(sink.port),
        SMARTHOST_CA_FILE=str(ROOT.write(tmp_path)),
        VERBOSE="true",
        SMARTHOST_USER=VALUE["SMARTHOST_USER"],
        SMARTHOST_PASSWORD=VALUE["SMARTHOST_PASSWORD"],
        **more,
    )
    relay.submit(mail(), TO)
    for count in range(1, max(len(rules), 1) + 1):
        until(lambda count=count: len(DEFERRED.findall(relay.child.text)) >= count, what=f"deferral {count}")
        # A smarthost that refuses a login is left alone for a while.
        commands(relay, ("queue", "retry", "--all"))
    assert all(rule.times == 0 for rule in rules)
    assert leaks(*said(relay), *on_disk(relay.queue_dir)) == []
    assert leaks(*(of_process(pid, "cmdline") for pid in processes(relay))) == []
    assert leaks(*(of_process(pid, "environ") for pid in relay.workers().values())) == []
    if os.geteuid() == 0:
        assert not any(map(is_read_by_others, processes(relay)))
    assert relay.stop() == 0
    assert leaks(relay.child.text.encode(), *on_disk(relay.queue_dir)) == []


RULES = """\
[smarthost.office]
hosts = "127.0.0.1:{port}"
ca_file = "{ca_file}"
user_file = "{user_file}"
{password}
[smarthost.unused]
hosts = "127.0.0.1:1"
user = "{user}"
password_file = "{password_file}"

[[router]]
smarthost = "office"
"""


@pytest.mark.parametrize("more", [{}, {"LOG_FORMAT": "text", "WORKERS": "2"}], ids=["one process", "several workers"])
def test_a_login_of_rules_that_fails_tells_no_secret(world, tmp_path, more):
    user, password = VALUE["SMARTHOST_USER"], VALUE["SMARTHOST_PASSWORD"]
    echoes = login_refusals()
    server = tuple(map(str, ROOT.leaf(["localhost"], ["127.0.0.1"]).write(tmp_path, "sink")))
    sink = world.sink(*echoes, tls=server, users={user: password}, mechanisms=("PLAIN",))
    files = {"user_file": tmp_path / "user", "password_file": tmp_path / "password"}
    for file, text in zip(files.values(), (user, password), strict=True):
        file.write_text(text)
    directory = tmp_path / "rules.d"
    directory.mkdir()
    rules = directory / "20-routes.toml"
    places = {**files, "user": user, "port": sink.port, "ca_file": ROOT.write(tmp_path)}
    rules.write_text(RULES.format(**places, password='password_env = "OFFICE_WORD"'))
    relay = world.relay(sink, RULES_DIR=str(directory), OFFICE_WORD=password, VERBOSE="true", **more)
    relay.submit(mail(), TO)
    for count in range(1, len(echoes) + 1):
        until(lambda count=count: len(DEFERRED.findall(relay.child.text)) >= count, what=f"deferral {count}")
        commands(relay, ("queue", "retry", "--all"))
    # A password in the place of each value.
    for wrong in (
        f'password = "{password}"',
        f"password_file = {password}",
        f'password_file = "{password}"',
        f'password_env = "{password}"',
        f'password_file = ["{password}"]',
        f'ca_file = "{password}"',
    ):
        troubles = relay.child.text.count("are not taken up")
        rules.write_text(RULES.format(**places, password=wrong))
        os.kill(relay.child.pid, signal.SIGHUP)
        until(lambda known=troubles: relay.child.text.count("are not taken up") > known, what="mistakes")
        assert leaks(*said(relay)) == []
    assert leaks(*on_disk(relay.queue_dir)) == []
    assert leaks(*(of_process(pid, "cmdline") for pid in processes(relay))) == []
    assert leaks(*(of_process(pid, "environ") for pid in relay.workers().values())) == []


def wrong_settings(pair: str, folder: Path) -> list[dict[str, str]]:
    """Return environments with mistakes about a user and a password, or about a password alone."""
    user, password = f"{pair}_USER", f"{pair}_PASSWORD"
    file = folder / "secret"
    file.write_text(VALUE[password])
    login = {user: VALUE[user]} if user in VALUE else {}
    return [
        # Both at once; the secret where its file's name belongs; a secret that no login can carry.
        {password: VALUE[password], f"{password}_FILE": str(file)},
        {f"{password}_FILE": VALUE[password], **{f"{name}_FILE": text for name, text in login.items()}},
        {password: VALUE[password] + "\udc80", **login},
        {password: VALUE[password] + "\0", **login},
        # A name nearly ours, and one half alone.
        {password.replace("SS", "S"): VALUE[password], **login, "PORT": "none"},
        {**login, "VERBOSE": "true"},
    ]


def words_about(environment: dict[str, str]) -> Iterator[str]:
    """Yield all that the reading of an environment says, as the start and the commands have it."""
    for ask in (show_settings, check_settings, lambda environ: list(explain_settings(environ))):
        try:
            yield repr(ask(environment))
        except SettingsError as error:
            yield repr(error.mistakes)
            yield "".join(traceback.format_exception(error))


@pytest.mark.parametrize("pair", PAIRS)
def test_settings_that_are_wrong_tell_no_secret(tmp_path, pair):
    for environment in wrong_settings(pair, tmp_path):
        words = list(words_about(environment))
        assert words
        assert leaks(*(text.encode(errors="replace") for text in words)) == []


def test_a_start_with_wrong_secrets_shows_no_secret(tmp_path):
    merged = {name: text for pair in PAIRS for name, text in wrong_settings(pair, tmp_path)[1].items()}
    daemon = Daemon(tmp_path / "relay", VERBOSE="true", **merged)
    words = daemon.start_and_fail()
    assert words.count("****") >= len(merged)
    assert leaks(words.encode(), *said(daemon)) == []


@pytest.mark.parametrize("damage", ["cut", "encrypted", "twice"])
def test_wrong_key_files_show_no_part_of_the_key(tmp_path, damage):
    leaf = self_signed(["relay.example.test"])
    certificate, key = leaf.write(tmp_path)
    lines = leaf.key_pem.splitlines(keepends=True)
    content = {
        "cut": b"".join(lines[:2]),
        "encrypted": leaf.key_pem.replace(b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"),
        "twice": lines[1] + leaf.key_pem.replace(lines[1], lines[1] * 2),
    }[damage]
    key.write_bytes(content)
    for settings in (
        {"CERTIFICATE_PATH": str(certificate), "KEY_PATH": str(key)},
        {"CERTIFICATE_PATH": str(key), "KEY_PATH": str(key)},
        {"DKIM_KEY_PATH": str(key)},
    ):
        words = "".join(words_about(settings))
        assert str(key) in words
        assert not [line for line in lines[1:-1] if line.strip()[:24].decode() in words]


def test_the_search_at_the_end_of_each_test_finds_a_secret_in_a_log(world):
    relay = world.relay(world.sink(), MAILNAME="open-sesame.example.test")
    assert world.leaks() == []
    world.secret("open-sesame")
    assert world.leaks() == [b"open-sesame"]
    relay.stop()
    assert world.leaks() == [b"open-sesame"]
    world.secrets.clear()
