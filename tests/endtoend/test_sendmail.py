"""The sendmail command beside the real relay, through to the next host."""

import os
import subprocess

from harness.daemon import program
from harness.waiting import until
from tests.endtoend.world import TO, received

SUBMITTED = f"To: {TO}\nBcc: hidden@example.test\nSubject: hello\n\n.hello\n.\nmore\n"


def sendmail(relay, text, *options):
    """Run the command with the relay's published address only, as a user would; return it when it has ended."""
    runtime = {"RUNTIME_DIRECTORY": relay.environment["RUNTIME_DIRECTORY"], "PATH": os.environ["PATH"], "PORT": "1"}
    command = [program("smtprelay"), "sendmail", *options]
    return subprocess.run(command, input=text.encode(), env=runtime, capture_output=True, timeout=60, check=False)


def test_a_message_and_smtp_from_programs_of_the_host_arrive_whole(world, tmp_path):
    sink = world.sink()
    (tmp_path / "run").mkdir()
    relay = world.relay(sink, RUNTIME_DIRECTORY=str(tmp_path / "run"))
    done = sendmail(relay, SUBMITTED, "-ti", "-F", "Ann Other", "-f", "ann")
    assert (done.returncode, done.stderr) == (0, b"")
    (message,) = received(sink)
    assert message.recipients == (TO, "hidden@example.test")
    assert message.sender == "ann@relay.example.test"
    assert message.header("From") == "Ann Other <ann@relay.example.test>"
    assert message.header("Date")
    assert message.header("Message-ID").endswith("@relay.example.test>")
    assert b"hidden" not in message.content
    assert message.content.endswith(b"\r\n\r\n.hello\r\n.\r\nmore\r\n")

    # Line feeds only, and the end of the input directly behind the end of the message, as a script writes.
    lines = ["HELO me", "MAIL FROM:<ann>", f"RCPT TO:<{TO}>", "DATA", "Subject: smtp", "", "hello", ".", ""]
    spoken = sendmail(relay, "\n".join(lines), "-bs")
    assert spoken.returncode == 0, spoken.stderr
    assert [line[:3] for line in spoken.stdout.splitlines()[:6]] == [b"220", b"250", b"250", b"250", b"354", b"250"]
    assert received(sink, 2)[1].header("Subject") == "smtp"


def test_more_recipients_than_one_transaction_takes_all_get_the_message(world, tmp_path):
    sink = world.sink()
    (tmp_path / "run").mkdir()
    relay = world.relay(sink, RUNTIME_DIRECTORY=str(tmp_path / "run"))
    recipients = [f"user{number}@example.test" for number in range(1100)]
    done = sendmail(relay, f"Subject: hello\nBcc: {', '.join(recipients)}\n\nhello\n", "-t")
    assert (done.returncode, done.stderr) == (0, b"")
    until(lambda: sum(len(message.recipients) for message in sink.messages) == 1100, what="all recipients")
    assert {one for message in sink.messages for one in message.recipients} == set(recipients)
