"""QUEUE_DIR at the start of a relay that shares its queue: mail in a queue of its own is told, and stays there."""

from pathlib import Path

from mta.blocking import run_inline
from mta.config.settings import Settings, read_settings
from mta.daemon.queues.directory import take_directory
from mta.event_log.log import EventLog
from mta.queue.sqlite.queue import open_queue
from tests.queue.messages import NOW, mail


def taken(settings: Settings) -> list[str]:
    """Return the troubles that the log has while the directory is taken."""
    lines: list[str] = []
    take_directory(settings, EventLog(lines.append, lambda: NOW)).release()
    return [line for line in lines if " trouble " in line]


def settings_of(directory: Path, **environ: str) -> Settings:
    return read_settings({"NET_DEV": "none0", "QUEUE_DIR": str(directory), **environ})


def test_mail_in_its_own_queue_is_told_and_stays(tmp_path: Path) -> None:
    shared = settings_of(tmp_path, QUEUE_URL="postgresql://relay@localhost/mail")
    assert not taken(shared)
    queue = open_queue(tmp_path, run=run_inline, now=NOW)
    queue.add(mail("a@example.test", "b@example.test"), NOW)
    queue.close()
    (line,) = taken(shared)
    assert f"2 recipients wait in the queue of {tmp_path}, which is not used while QUEUE_URL is set" in line
    assert not taken(settings_of(tmp_path))
