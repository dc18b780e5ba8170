"""The sendmail command beside a mail server: exit statuses, and that all recipients get a message or none."""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.daemon import PYTHON_PATH
from harness.processes import free_port
from harness.sink import EXTENSIONS, Sink
from harness.sink_rules import Rule
from mta.cli.main import main
from mta.daemon.runtime_settings import publish_settings

MESSAGE = b"To: Bob <bob@b.test>, eve@b.test\nBcc: max@d.test\nSubject: x\n\nhello\n"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def run(*words: str, message: bytes = MESSAGE, port: int = 0, **environ: str) -> Result:
    place = {"PORT": str(port or free_port()), "BIND_IP": "127.0.0.1", "QUEUE_DIR": "/nowhere"}
    return CliRunner().invoke(main, ["sendmail", *words], input=message, env=place | environ)


def test_a_message_for_the_recipients_of_its_header(sink: Sink) -> None:
    sent = run("-t", "-i", "-f", "me@a.test", "-N", "never", "-R", "hdrs", "-V", "e1", port=sink.port)
    assert (sent.exit_code, sent.output) == (0, "")
    (message,) = sink.messages
    assert message.recipients == ("bob@b.test", "eve@b.test", "max@d.test")
    assert message.sender == "me@a.test"
    assert {"RET=HDRS", "ENVID=e1"} <= set(message.mail_parameters.split())
    assert message.rcpt_parameters == ("NOTIFY=NEVER",) * 3
    assert message.header("From") == f"{_full_name()}<me@a.test>"
    assert message.header("Bcc") is None
    assert sink.faults == []


def _full_name() -> str:
    name = pwd.getpwuid(os.getuid()).pw_gecos.partition(",")[0]
    return f"{name} " if name else ""


def test_a_user_without_an_address_is_the_sender_with_the_name_of_the_relay(sink: Sink) -> None:
    run("-F", "Cron Daemon", "root", message=b"Subject: x\n\nhello\n", port=sink.port)
    (message,) = sink.messages
    user = pwd.getpwuid(os.getuid()).pw_name
    assert (message.sender, message.recipients) == (user, ("root",))
    assert message.header("From") == f"Cron Daemon <{user}@{sink.name}>"


def test_recipients_of_the_command_line_and_of_the_header_get_one_copy_each(sink: Sink) -> None:
    run("-t", "eve@b.test", "Zoe <zoe@c.test>, ann@c.test", port=sink.port)
    (message,) = sink.messages
    assert message.recipients == ("eve@b.test", "zoe@c.test", "ann@c.test", "bob@b.test", "max@d.test")


def test_octets_beyond_ascii_are_announced(sink: Sink) -> None:
    run("jörg@b.test", message="Subject: ö\n\nhellö\n".encode(), port=sink.port)
    (message,) = sink.messages
    assert {"BODY=8BITMIME", "SMTPUTF8"} <= set(message.mail_parameters.split())
    assert message.recipients == ("jörg@b.test",)


def test_the_null_sender_gets_no_author(sink: Sink) -> None:
    run("-f", "<>", "bob@b.test", port=sink.port)
    (message,) = sink.messages
    assert (message.sender, message.header("From")) == ("", None)


@pytest.mark.parametrize(
    "words",
    [["-bd"], ["-bt", "a@b.test"], ["-Zx", "a@b.test"], [], ["-i"], [""], ["<>"], ["none:;"], ["-f", "a\nb", "x"]],
)
def test_a_wrong_use_is_refused_in_one_line(words: list[str]) -> None:
    refused = run(*words)
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (os.EX_USAGE, "", 1)


@pytest.mark.parametrize("message", [b"To: " + b"(" * 10_000 + b"\n\n", b"Subject: x\n\n", b"To: a\x01@b.test\n\n"])
def test_a_header_without_recipients_is_refused(message: bytes) -> None:
    refused = run("-t", message=message)
    assert (refused.exit_code, refused.stderr.count("\n")) == (os.EX_DATAERR, 1)
    assert "recipients" in refused.stderr


def test_a_message_without_end_is_read_to_the_limit_of_the_relay_only() -> None:
    with Sink(extensions=("SIZE 5000000",)) as sink:
        large = b"\n" + b"x" * 4_999_900
        assert run("root", message=large, port=sink.port).exit_code == 0
        refused = _redirected("</dev/zero", "root", PORT=str(sink.port))
    words = b"smtprelay: nothing was sent: the relay takes messages up to MESSAGE_SIZE_LIMIT, 5000000 octets\n"
    assert (refused.returncode, refused.stderr) == (os.EX_UNAVAILABLE, words)
    assert len(sink.messages) == 1


@pytest.mark.parametrize("words", [["-t", "-i"], ["-oi", "-f", "me@a.test", "-F", "Me", "-odb", "--", "b@b.test"]])
def test_a_relay_that_cannot_be_reached_is_a_reason_to_try_later(words: list[str]) -> None:
    refused = run(*words)
    assert refused.exit_code == os.EX_TEMPFAIL
    assert "the relay cannot be reached at 127.0.0.1 port " in refused.stderr
    assert refused.stderr.endswith("nothing was sent: Connection refused\n")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("verb", "reply", "status"),
    [
        ("CONNECT", "421 4.3.2 shutting down", os.EX_TEMPFAIL),
        ("CONNECT", "554 5.7.1 no", os.EX_UNAVAILABLE),
        ("MAIL", "452 4.3.1 no room", os.EX_TEMPFAIL),
        ("MAIL", "552 5.3.4 too large", os.EX_UNAVAILABLE),
        ("DATA", "451 4.3.0 not now", os.EX_TEMPFAIL),
        (".", "451 4.3.0 not now", os.EX_TEMPFAIL),
        (".", "554 5.6.0 no", os.EX_UNAVAILABLE),
    ],
)
def test_a_refusal_is_told_with_its_reply(sink: Sink, verb: str, reply: str, status: int) -> None:
    sink.rules.append(Rule(verb, reply))
    refused = run("-t", port=sink.port)
    assert (refused.exit_code, refused.stderr) == (status, f"smtprelay: refused: {reply}\n")


def test_a_lost_connection_is_a_reason_to_try_again(sink: Sink) -> None:
    sink.rules.append(Rule("."))
    refused = run("-t", port=sink.port)
    assert refused.exit_code == os.EX_TEMPFAIL
    assert refused.stderr.startswith("smtprelay: the connection to the relay was lost before it answered")


def test_an_error_after_the_reply_to_the_message_is_none_of_the_message(sink: Sink) -> None:
    sink.rules.append(Rule("QUIT", "421 4.3.2 shutting down"))
    assert run("-t", port=sink.port).exit_code == 0
    assert len(sink.messages) == 1


@pytest.mark.parametrize(
    ("reply", "status"), [("550 5.1.1 no such user", os.EX_UNAVAILABLE), ("451 4.3.0 not now", os.EX_TEMPFAIL)]
)
def test_if_one_recipient_is_refused_nobody_gets_the_message(sink: Sink, reply: str, status: int) -> None:
    sink.rules.append(Rule("RCPT", reply, match="eve"))
    refused = run("-t", port=sink.port)
    assert refused.exit_code == status
    assert refused.stderr.splitlines() == [
        f"smtprelay: <eve@b.test> refused: {reply}",
        "smtprelay: nothing was sent, not to the other recipients either",
    ]
    assert sink.messages == []


def test_more_recipients_than_a_transaction_has_are_sent_to_in_several() -> None:
    with Sink(extensions=(*EXTENSIONS, "LIMITS RCPTMAX=2 MAILMAX=9")) as sink:
        assert run("-t", port=sink.port).exit_code == 0
        assert [message.recipients for message in sink.messages] == [("bob@b.test", "eve@b.test"), ("max@d.test",)]
        sink.rules.append(Rule("RCPT", "550 5.1.1 no such user", match="max"))
        refused = run("-t", port=sink.port)
        assert refused.exit_code == os.EX_UNAVAILABLE
        assert refused.stderr.splitlines()[-1] == "smtprelay: the first 2 recipients get the message nevertheless"


def test_a_program_that_speaks_smtp_is_connected_with_the_relay(sink: Sink) -> None:
    lines = ("EHLO me", "MAIL FROM:<me@a.test>", "RCPT TO:<bob@b.test>", "DATA", "Subject: x", "", "hello", ".", "QUIT")
    for end in ("\r\n", "\n"):
        spoken = _bs("".join(f"{line}{end}" for line in lines).encode(), sink.port)
        assert spoken.returncode == 0, spoken.stderr
        assert spoken.stdout.startswith(b"220 ")
        assert b"\r\n221 " in spoken.stdout
    assert [message.content for message in sink.messages] == [b"Subject: x\r\n\r\nhello\r\n"] * 2
    assert sink.faults == []


def test_a_program_that_speaks_smtp_to_a_relay_that_is_stopped_is_told_so_in_smtp() -> None:
    spoken = _bs(b"QUIT\r\n", free_port())
    assert spoken.returncode == os.EX_TEMPFAIL
    assert spoken.stdout.startswith(b"421 4.3.0 the relay cannot be reached at 127.0.0.1 port ")
    assert spoken.stderr.count(b"\n") == 1


def test_a_session_whose_program_cannot_be_written_to_breaks_off(sink: Sink) -> None:
    spoken = _redirected(">/dev/full", "-bs", PORT=str(sink.port))
    broken = b"smtprelay: the SMTP session has broken off: No space left on device\n"
    assert (spoken.returncode, spoken.stderr) == (os.EX_TEMPFAIL, broken)


def _bs(octets: bytes, port: int) -> "subprocess.CompletedProcess[bytes]":
    return _redirected("", "-bs", PORT=str(port), octets=octets)


def _redirected(
    descriptors: str, *words: str, octets: bytes = b"", **environ: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run the command as a process whose descriptors a shell has changed."""
    environ = {"BIND_IP": "127.0.0.1", "QUEUE_DIR": "/nowhere", "PYTHONPATH": PYTHON_PATH} | environ
    shell = ["sh", "-c", f'exec "$@" {descriptors}', "sh"]
    command = [*shell, sys.executable, "-c", "from mta.cli.main import main; main()", "sendmail", *words]
    return subprocess.run(command, input=octets, capture_output=True, env=environ, check=False, timeout=60)


def test_without_standard_input_there_is_no_message() -> None:
    refused = _redirected("<&-", "root")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (os.EX_NOINPUT, 1)


def test_the_relay_is_found_where_it_has_published_its_address(sink: Sink, tmp_path: Path) -> None:
    published = {"RUNTIME_DIRECTORY": str(tmp_path), "PORT": str(sink.port), "BIND_IP": "127.0.0.1"}
    publish_settings(published, tmp_path)
    # The user's own PORT is that of another program.
    sent = run("-t", port=1, QUEUE_DIR="", RUNTIME_DIRECTORY=str(tmp_path))
    assert sent.exit_code == 0, sent.output
    assert len(sink.messages) == 1


def test_the_runtime_directory_of_another_service_does_not_hide_the_relay(
    sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_settings({"RUNTIME_DIRECTORY": str(tmp_path), "PORT": str(sink.port), "BIND_IP": "127.0.0.1"}, tmp_path)
    monkeypatch.setattr("mta.daemon.runtime_settings.USUAL_DIRECTORY", tmp_path)
    sent = run("-t", port=1, QUEUE_DIR="", RUNTIME_DIRECTORY=str(tmp_path / "php"))
    assert sent.exit_code == 0, sent.output


def test_wrong_settings_are_told_as_such() -> None:
    refused = run("-t", PORT="x")
    assert (refused.exit_code, refused.stderr.count("\n")) == (os.EX_CONFIG, 1)


def test_newaliases_and_its_option_do_nothing() -> None:
    for option in ("-bi", "-I"):
        assert (run(option).exit_code, run(option).output) == (0, "")
