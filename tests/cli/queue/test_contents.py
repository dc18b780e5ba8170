"""`smtprelay queue cat`, `export` and `import` on real queue files."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import main
from mta.queue.interface import Query, QueueId
from tests.cli.queue.test_command import fill, opened, result, run

MESSAGE = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nFrom: shop@a.test\nMessage-ID: <m9@a.test>\n\nHello.\n"


@pytest.fixture
def ids(tmp_path: Path) -> list[QueueId]:
    return fill(tmp_path)


def imported(directory: Path, message: bytes, *words: str) -> Result:
    environ = {"QUEUE_DIR": str(directory), "MAILNAME": "mx.a.test"}
    return CliRunner().invoke(main, ["queue", "import", *words, "-"], env=environ, input=message)


def test_a_waiting_message_is_printed_as_it_will_be_sent(tmp_path: Path, ids: list[QueueId]) -> None:
    whole = run(tmp_path, "queue", "cat", ids[0]).stdout_bytes
    assert whole == run(tmp_path, "queue", "show", "--message", ids[0]).stdout_bytes
    header = run(tmp_path, "queue", "cat", "--headers", ids[0]).stdout_bytes
    assert header == run(tmp_path, "queue", "show", "--header", ids[0]).stdout_bytes
    gone = run(tmp_path, "queue", "cat", ids[2])
    assert (gone.exit_code, gone.stderr) == (1, f"smtprelay: no message {ids[2]} is in the queue\n")


def test_a_message_is_imported_with_its_envelope(tmp_path: Path, ids: list[QueueId]) -> None:
    done = imported(tmp_path, MESSAGE, "--from", "<>", "--to", "<bob@b.test>", "--to", "eve@b.test", "--hold")
    assert done.exit_code == 0, done.output
    queue = opened(tmp_path)
    (entry,) = result(queue.find(Query([QueueId(done.stdout.strip())])))
    content = result(queue.content(entry.id))
    result(queue.close())
    assert (entry.sender, entry.held) == ("", True)
    assert [state.address for state in entry.recipients] == ["bob@b.test", "eve@b.test"]
    assert (entry.subject, entry.author, entry.message_id) == ("Gr\u00fc\u00dfe", "shop@a.test", "m9@a.test")
    assert content.startswith(b"Received: ")
    assert content.endswith(MESSAGE.replace(b"\n", b"\r\n"))


def test_an_exported_message_can_be_imported_elsewhere(tmp_path: Path, ids: list[QueueId]) -> None:
    exported = run(tmp_path, "queue", "export", ids[0]).stdout_bytes
    assert exported.startswith(b"Return-Path: <alice@a.test>\r\nEnvelope-To: bob@b.test\r\n")
    other = tmp_path / "other"
    result(opened(other).close())
    done = imported(other, exported)
    assert done.exit_code == 0, done.output
    queue = opened(other)
    (entry,) = result(queue.find(Query()))
    content = result(queue.content(entry.id))
    result(queue.close())
    assert (entry.sender, [state.address for state in entry.recipients]) == ("alice@a.test", ["bob@b.test"])
    assert content.endswith(run(tmp_path, "queue", "cat", ids[0]).stdout_bytes)
    assert b"Envelope-To" not in content
    assert b"Return-Path" not in content


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "the message has no recipient: give --to, or a field Envelope-To"),
        (["--to", "bob@b.test"], "the message has no sender: give --from, or a field Return-Path"),
        (["--to", "no address", "--from", "a@b.test"], "'no address' is not an address: "),
    ],
)
def test_a_message_without_an_envelope_is_refused(
    tmp_path: Path, ids: list[QueueId], words: list[str], told: str
) -> None:
    refused = imported(tmp_path, MESSAGE, *words)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"smtprelay: {told}")
