"""The sendmail command: its options, and the message that it submits."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.processes import free_port
from mta.cli.exim.sendmail import header_recipients, message_of, without_bcc
from mta.cli.main import main

MESSAGE = (
    b"To: Bob <bob@b.test>, eve@b.test\nCc: zoe@c.test\nBcc: max@d.test,\n  ida@d.test\nSubject: x\n\nhello\nBcc: y\n"
)


def run(*words: str, message: bytes = MESSAGE, **environ: str) -> Result:
    port = {"PORT": str(free_port()), "QUEUE_DIR": "/nowhere"}
    return CliRunner().invoke(main, ["sendmail", *words], input=message, env=port | environ)


@pytest.mark.parametrize(
    ("octets", "dots", "message"),
    [
        (b"a\nb", True, b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", True, b"a\r\nb\r\n"),
        (b"a\n.\nb\n", True, b"a\r\n.\r\nb\r\n"),
        (b"a\n.\nb\n", False, b"a\r\n"),
        (b".\n", False, b"\r\n"),
        (b"a\n..\n.b\n", False, b"a\r\n..\r\n.b\r\n"),
        (b"\xff\n", False, b"\xff\r\n"),
    ],
)
def test_a_message_gets_line_ends_of_smtp_and_may_end_at_a_dot(octets: bytes, dots: bool, message: bytes) -> None:
    assert message_of(octets, dots=dots) == message


def test_recipients_are_taken_from_the_header() -> None:
    message = message_of(MESSAGE, dots=True)
    assert header_recipients(message) == ["bob@b.test", "eve@b.test", "zoe@c.test", "max@d.test", "ida@d.test"]
    assert header_recipients(b"Resent-To: a@b.test\r\n" + message) == ["a@b.test"]
    assert header_recipients(b"Subject: x\r\n\r\nTo: a@b.test\r\n") == []
    assert header_recipients("To: Jörg <jörg@b.test>\r\n\r\nhello\r\n".encode()) == ["jörg@b.test"]


def test_hidden_recipients_leave_the_header() -> None:
    kept = without_bcc(message_of(MESSAGE, dots=True))
    assert b"max@d.test" not in kept
    assert b"ida@d.test" not in kept
    assert kept.endswith(b"Cc: zoe@c.test\r\nSubject: x\r\n\r\nhello\r\nBcc: y\r\n")
    assert without_bcc(b"bcc: x\r\n\r\nbody\r\n") == b"\r\n\r\nbody\r\n"
    assert without_bcc(b"Subject: x\r\n") == b"Subject: x\r\n"


@pytest.mark.parametrize("words", [["-bs"], ["-bd"], ["-bt", "a@b.test"], ["-Zx", "a@b.test"], [], ["-i"]])
def test_an_unsupported_option_is_refused_in_one_line(words: list[str]) -> None:
    refused = run(*words)
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)


def test_a_header_without_recipients_is_refused() -> None:
    assert run("-t", message=b"To: " + b"(" * 10_000 + b"\n\n").stderr.count("\n") == 1
    assert "the header has no To, Cc or Bcc" in run("-t", message=b"Subject: x\n\n").stderr


@pytest.mark.parametrize(
    "words", [["-t", "-i"], ["-ti"], ["-oi", "-f", "me@a.test", "-F", "Me", "-odb", "--", "b@b.test"]]
)
def test_a_relay_that_cannot_be_reached_is_a_reason_to_try_later(words: list[str], tmp_path: Path) -> None:
    refused = run(*words, BIND_IP="127.0.0.1", QUEUE_DIR=str(tmp_path))
    assert refused.exit_code == 75
    assert "cannot be reached: " in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["-O", "DeliveryMode=b"], ["-ODeliveryMode=b"]])
def test_options_of_sendmails_configuration_change_nothing(words: list[str]) -> None:
    assert "no recipients" in run(*words).stderr
