"""Programs that applications and scripts send mail with: each message arrives once, and as the program meant it."""

import os
import shutil
import smtplib
import subprocess
from collections import Counter
from email.message import EmailMessage
from pathlib import Path

import pytest

from harness.sink import EXTENSIONS
from harness.waiting import PATIENCE
from tests.clients.packages import CACHE
from tests.endtoend.submission import in_clear_users, submission
from tests.endtoend.world import TO, received

SENDER = "sender@sender.test"
PASSWORD = "open-sesame/+9"
HEAD = "From: sender@sender.test\nTo: someone@example.test\nSubject: plain\nMessage-ID: <1@sender.test>\n"
BODY = "Hello\n.\nend\n"
GO_PROGRAM = Path(__file__).with_name("sendmail.go")


def needs(program: str):
    """Return the mark of a test that runs a program."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(*command: str, text: str = "", **environment: str) -> None:
    """Run a client to its end, with an input and more in its environment; it must succeed."""
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def the_message(sink) -> str:
    """Wait for the one message, and return its body with the line ends of a file."""
    (message,) = received(sink)
    assert message.recipients == (TO,)
    return message.content.partition(b"\r\n\r\n")[2].decode().replace("\r\n", "\n")


@pytest.mark.long
@needs("msmtp")
def test_msmtp(world):
    sink = world.sink()
    relay = world.relay(sink)
    options = ["--file=/dev/null", "--host=127.0.0.1", f"--port={relay.port}", f"--from={SENDER}", "--auth=off"]
    run("msmtp", *options, "--tls=off", TO, text=f"{HEAD}\n{BODY}")
    assert the_message(sink) == BODY


@pytest.mark.long
@needs("curl")
@pytest.mark.parametrize("option", [["--crlf"], []], ids=["--crlf", "bare LF"])
def test_curl(world, tmp_path, option):
    sink = world.sink()
    relay = world.relay(sink)
    (tmp_path / "mail").write_text(f"{HEAD}\n{BODY}")
    server = f"smtp://127.0.0.1:{relay.port}/client.test"
    run("curl", "-sS", server, "--mail-from", SENDER, "--mail-rcpt", TO, "-T", str(tmp_path / "mail"), *option)
    # Behind a file that does not end in CRLF curl puts one more line end.
    assert the_message(sink) in {BODY, f"{BODY}\n"}


@pytest.mark.long
@needs("mutt")
def test_mutt(world, tmp_path):
    sink = world.sink()
    relay = world.relay(sink)
    settings = [f"set smtp_url=smtp://127.0.0.1:{relay.port}", "set ssl_force_tls=no", f"set from={SENDER}"]
    options = [word for setting in (*settings, "set copy=no") for word in ("-e", setting)]
    run("mutt", "-n", "-F", "/dev/null", *options, "-s", "plain", TO, text=BODY, HOME=str(tmp_path))
    assert the_message(sink) == BODY


@pytest.mark.long
def test_pythons_smtplib_with_a_name_that_is_not_ascii(world):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, TO, "Grüße"
    message.set_content("Grüße aus Zürich\n")
    sink = world.sink()
    relay = world.relay(sink)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as client:
        client.send_message(message)
    assert received(sink)[0].recipients == (TO,)


@pytest.mark.long
@needs("go")
def test_each_of_gos_ascii_messages_passes_a_smarthost_without_smtputf8(world):
    count = 100
    sink = world.sink(extensions=tuple(one for one in EXTENSIONS if one != "SMTPUTF8"))
    relay = world.relay(sink, SMARTHOST_ADDRESS="127.0.0.1", SMARTHOST_PORT=str(sink.port))
    # It needs its standard library alone: no module is downloaded.
    settings = {"GOCACHE": str(CACHE / "go"), "GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    run("go", "run", str(GO_PROGRAM), f"127.0.0.1:{relay.port}", SENDER, TO, str(count), **settings)
    messages = received(sink, count)
    relay.wait_until_empty()
    ids = Counter(message.header("Message-ID") for message in messages)
    assert ids == {f"<{number}@sender.test>": 1 for number in range(count)}
    assert relay.events("failed") == []


@pytest.mark.long
@needs("go")
def test_go_logs_in(world):
    sink = world.sink()
    site = submission(world, sink, in_clear_users({"app": PASSWORD}))
    login = {"SUBMIT_USER": "app", "SUBMIT_PASSWORD": PASSWORD, "SSL_CERT_FILE": str(site.starttls.authority)}
    settings = {"GOCACHE": str(CACHE / "go"), "GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    run("go", "run", str(GO_PROGRAM), f"localhost:{site.starttls.port}", SENDER, TO, "2", **settings, **login)
    assert all(" with UTF8SMTPSA " in message.header("Received") for message in received(sink, 2))
    assert [event["user"] for event in site.relay.wait_for_events("accepted", 2)] == ["app", "app"]


@pytest.mark.long
@needs("curl")
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_curl_logs_in(world, tmp_path, scheme):
    sink = world.sink()
    site = submission(world, sink, in_clear_users({"app": PASSWORD}))
    server = site.implicit if scheme == "smtps" else site.starttls
    (tmp_path / "mail").write_text(f"{HEAD}\n{BODY}")
    options = ["--ssl-reqd", "--cacert", str(server.authority), "--user", f"app:{PASSWORD}", "--crlf"]
    envelope = ["--mail-from", SENDER, "--mail-rcpt", TO, "-T", str(tmp_path / "mail")]
    run("curl", "-sS", f"{scheme}://localhost:{server.port}/client.test", *options, *envelope)
    assert the_message(sink) in {BODY, f"{BODY}\n"}
    assert [event["user"] for event in site.relay.wait_for_events("accepted")] == ["app"]


@pytest.mark.long
@needs("mutt")
def test_mutt_logs_in(world, tmp_path):
    sink = world.sink()
    site = submission(world, sink, in_clear_users({"app": PASSWORD}))
    settings = [
        f"set smtp_url=smtp://app@localhost:{site.starttls.port}",
        f"set smtp_pass={PASSWORD}",
        f"set ssl_ca_certificates_file={site.starttls.authority}",
        "set ssl_force_tls=yes",
        f"set from={SENDER}",
        "set copy=no",
    ]
    options = [word for setting in settings for word in ("-e", setting)]
    run("mutt", "-n", "-F", "/dev/null", *options, "-s", "plain", TO, text=BODY, HOME=str(tmp_path))
    assert the_message(sink) == BODY
    assert [event["user"] for event in site.relay.wait_for_events("accepted")] == ["app"]
