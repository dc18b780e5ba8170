"""`smtprelay queue move` from real queue files to a real database."""

from pathlib import Path

from click.testing import CliRunner

from mta.cli.main import main
from tests.cli.queue.test_command import fill, run
from tests.queue.conftest import database_url

__all__ = ["database_url"]


def test_the_queue_is_in_the_database_then(tmp_path: Path, database_url: str) -> None:  # noqa: F811
    ids = fill(tmp_path)
    moved = run(tmp_path, "queue", "move", "--to", database_url)
    assert moved.exit_code == 0
    assert moved.stdout == "moved the queue's messages: 2 waiting, 1 in the history\n"
    shared = CliRunner().invoke(main, ["queue", "list"], env={"QUEUE_DIR": str(tmp_path), "QUEUE_URL": database_url})
    assert ids[0] in shared.stdout
    assert ids[1] in shared.stdout
    assert ids[0] not in run(tmp_path, "queue", "list").stdout


def test_a_database_that_cannot_be_reached_changes_nothing(tmp_path: Path) -> None:
    ids = fill(tmp_path)
    moved = run(tmp_path, "queue", "move", "--to", "postgresql://relay@127.0.0.1:1/mail")
    assert moved.exit_code == 1
    assert moved.stderr.startswith("smtprelay: no connection to the database: ")
    assert ids[0] in run(tmp_path, "queue", "list").stdout
