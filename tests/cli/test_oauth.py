"""`smtprelay oauth`: its prompts and output, and whole conversations with an endpoint."""

import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from harness.certificates import authority
from harness.daemon import program
from harness.dns_process import Dns
from harness.token_endpoint import TokenEndpoint
from harness.waiting import until
from mta.cli.main import main
from mta.cli.oauth import Conversation
from mta.config.setting import SettingsReader
from tests.fakes.https import FakeHttps, answer, token
from tests.oauth.test_authorize import CODE

O365 = {"O365_TENANT": "t.example", "O365_CLIENT_ID": "app-id", "QUEUE_DIR": "/none"}
GMAIL = {"GMAIL_CLIENT_ID": "app-id", "GMAIL_CLIENT_SECRET": "hush-secret", "QUEUE_DIR": "/none"}
TOKEN = token("access", refresh_token="0.refresh")


class InMemory:
    """Runs a conversation without a network; the clock is always ahead of it."""

    def __init__(self, *answers: Any) -> None:
        self.https = FakeHttps()
        self.https.answers.extend(answers)

    def __call__(self, reader: SettingsReader, conversation: Conversation) -> str:
        clock = Clock()
        results: list[Any] = []

        async def converse() -> str:
            return await conversation(self.https, clock)

        Deferred.fromCoroutine(converse()).addBoth(results.append)
        while not results:
            clock.advance(1)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]  # type: ignore[no-any-return]


def run(arguments: list[str], environ: dict[str, str], *answers: Any, given: str = "") -> tuple[Result, FakeHttps]:
    runner = InMemory(*answers)
    every = {name: None for name in os.environ if name.startswith(("O365_", "GMAIL_"))}
    return CliRunner().invoke(main, ["oauth", *arguments], given, env=every | environ, obj=runner), runner.https


def test_the_code_is_shown_and_the_setting_is_printed():
    done, https = run(["o365"], O365, answer(CODE), TOKEN)
    assert done.exit_code == 0
    assert done.stdout == "O365_REFRESH_TOKEN=0.refresh\n"
    assert "Open https://login.test/device in any browser, enter the code WDJB-MJHT" in done.stderr
    assert "valid for 15 minutes" in done.stderr
    assert "0.refresh" not in done.stderr
    (url, form) = https.requests[0]
    assert url == "https://login.microsoftonline.com/t.example/oauth2/v2.0/devicecode"
    assert form == {"client_id": "app-id", "scope": "https://outlook.office.com/SMTP.Send offline_access"}


def test_options_take_precedence_over_settings():
    options = ["--tenant", "other.example", "--client-id", "other-id", "--cloud", "usgov"]
    _, https = run(["o365", *options], O365, answer(CODE), TOKEN)
    (url, form) = https.requests[0]
    assert url == "https://login.microsoftonline.us/other.example/oauth2/v2.0/devicecode"
    assert form["client_id"] == "other-id"


def test_the_token_is_written_to_a_file_for_its_owner_only(tmp_path):
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        done, _ = run(["o365", "--write", str(path)], O365, answer(CODE), TOKEN)
    finally:
        os.umask(before)
    assert done.stdout == f"O365_REFRESH_TOKEN_FILE={path}\n"
    assert path.read_text() == "0.refresh\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["token"]


def test_the_name_of_a_file_with_a_token_is_durable_too(tmp_path, synced):
    run(["o365", "--write", str(tmp_path / "token")], O365, answer(CODE), TOKEN)
    assert synced == [tmp_path / "token.new", tmp_path]


@pytest.mark.parametrize("place", ["missing/token", "."])
def test_a_file_that_cannot_be_written_ends_the_command_before_there_is_a_token(tmp_path, place):
    done, https = run(["o365", "--write", str(tmp_path / place)], O365)
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
    assert https.requests == []


@pytest.mark.parametrize("missing", ["O365_TENANT", "O365_CLIENT_ID"])
def test_a_missing_setting_is_named_with_its_option(missing):
    done, _ = run(["o365"], {name: text for name, text in O365.items() if name != missing})
    assert done.exit_code == 1
    assert done.stderr.startswith(f"smtprelay: {missing} is not set: set it, or give --")


def test_errors_are_one_line_without_secrets():
    refused = answer({"error": "invalid_client", "error_description": "hush-secret is wrong"}, 401)
    done, _ = run(["o365"], O365 | {"O365_CLIENT_SECRET": "hush-secret"}, answer(CODE), refused)
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("smtprelay: ")]
    assert line.startswith("smtprelay: invalid_client: **** is wrong. Allow public client flows")
    done, _ = run(["o365", "--tenant", "a/b"], O365)
    assert done.stderr.startswith("smtprelay: the tenant is neither an id such as")


def test_gmail_shows_an_address_and_takes_another():
    # The state is made by the command, so a wrong one stands in for the user's mistake.
    done, https = run(["gmail"], GMAIL, given="http://127.0.0.1:8085/?state=x&code=4/abc\n")
    assert done.exit_code == 1
    assert "https://accounts.google.com/o/oauth2/v2/auth?client_id=app-id&" in done.stderr
    assert "hush" not in done.output
    assert done.stderr.endswith(
        "smtprelay: the address belongs to another run of the command: open the address of this one\n"
    )
    assert https.requests == []


def test_gmail_asks_for_a_client_that_is_not_set():
    done, _ = run(["gmail"], {"QUEUE_DIR": "/none"}, given="app-2\nhush-secret\n\n")
    assert "client_id=app-2&" in done.stderr
    assert "hush" not in done.output


ROOT = authority()
HOSTS = ("login.microsoftonline.com", "oauth2.googleapis.com")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[tuple[TokenEndpoint, dict[str, str]]]:
    """Yield an endpoint that stands in for the providers on this host, and the environment that leads to it."""
    # An address of loopback for this test alone, because the port is that of the providers.
    address = "127.{}.{}.{}".format(*os.urandom(3))
    try:
        socket.create_server((address, 443)).close()
    except OSError as error:
        pytest.skip(f"port 443 cannot be used here: {error.strerror}")
    tls = tuple(map(str, ROOT.leaf(HOSTS).write(tmp_path)))
    dns = Dns(tmp_path)
    dns.add({host: {"A": [address]} for host in HOSTS})
    with dns.child, TokenEndpoint(tls, address=address, port=443) as endpoint:
        until(lambda: "ready" in dns.child.text, what="the DNS")
        yield (
            endpoint,
            {
                "PATH": os.environ["PATH"],
                "QUEUE_DIR": str(tmp_path / "queue"),
                "DNS_SERVERS": dns.setting,
                "SSL_CERT_FILE": str(ROOT.write(tmp_path)),
                "O365_TENANT": "t.example",
                "O365_CLIENT_ID": "app-id",
                "GMAIL_CLIENT_ID": "app-id",
                "GMAIL_CLIENT_SECRET": "hush-secret",
            },
        )


def test_a_whole_conversation_with_microsoft(environment, tmp_path):
    endpoint, settings = environment
    command = [program("smtprelay"), "oauth", "o365", "--write", str(tmp_path / "token")]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"O365_REFRESH_TOKEN_FILE={tmp_path / 'token'}\n"), done.stderr
    assert "enter the code WDJB-MJHT" in done.stderr
    assert (tmp_path / "token").read_text().strip() in endpoint.refresh_tokens
    assert [request.path.rpartition("/")[2] for request in endpoint.requests] == ["devicecode", "token"]


def test_a_whole_conversation_with_google(environment):
    endpoint, settings = environment
    endpoint.codes.append("4/abc")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [program("smtprelay"), "oauth", "gmail"], env=settings, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as command:
        lines = iter(command.stderr.readline, "")
        shown = next(line for line in lines if line.startswith("https://accounts.google.com/"))
        [state] = parse_qs(urlsplit(shown).query)["state"]
        landed = f"http://127.0.0.1:8085/?{urlencode({'state': state, 'code': '4/abc'})}\n"
        said, _ = command.communicate(landed)
    assert re.fullmatch(r"GMAIL_REFRESH_TOKEN=(\S+)\n", said)[1] in endpoint.refresh_tokens


def test_an_endpoint_that_cannot_be_reached_is_told_in_one_line(environment):
    _, settings = environment
    settings = settings | {"O365_CLOUD": "usgov"}
    command = [program("smtprelay"), "oauth", "o365"]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "smtprelay: login.microsoftonline.us: there is no such host, or it has no address\n"
