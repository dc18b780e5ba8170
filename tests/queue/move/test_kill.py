"""A large queue whose move is killed in the middle, and its way back."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg

from harness.waiting import until
from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.interface import Summary
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.url import read_server
from mta.queue.sqlite.queue import open_queue
from tests.cli.queue.test_command import result
from tests.length import choose
from tests.queue.messages import NOW

#: Messages that wait, and as many in the history.
MESSAGES = choose(2500, 10_000)
_NUMBERS = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {2 * MESSAGES})"
_FILL = f"""
BEGIN;
INSERT INTO message (id, created, size, in_file, sender_local, sender_domain, client, helo, protocol, body_type,
                     smtputf8, token, leased, due, finished)
{_NUMBERS}
SELECT i * 1000, {NOW}, 4096, 0, 'a', 'one.test', '192.0.2.1', 'c.test', 'ESMTP', '8BITMIME', 0, 1, 0,
       CASE WHEN i % 2 THEN {NOW} END, CASE WHEN i % 2 THEN NULL ELSE {NOW} END FROM n;
INSERT INTO recipient (message_id, idx, local, domain, status, attempts, due, reply, host, finished)
SELECT id, 0, 'b', 'two.test', CASE WHEN due IS NULL THEN 'delivered' ELSE 'waiting' END, 1, due, '250 Ok', 'mx',
       finished FROM message;
INSERT INTO body (message_id, data) SELECT id, randomblob(4096) FROM message WHERE due IS NOT NULL;
UPDATE ledger SET accepted = {2 * MESSAGES}, delivered = {MESSAGES};
COMMIT;
"""


def filled(directory: Path) -> Summary:
    open_queue(directory, run=run_inline, now=NOW).close()
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        connection.executescript(_FILL)
    return in_files(directory)


def in_files(directory: Path) -> Summary:
    queue = open_queue(directory, run=run_inline, now=NOW)
    try:
        return result(queue.summary())
    finally:
        queue.close()


def in_database(url: str) -> Summary:
    queue = OperatorsQueue(read_server(url), run_inline)
    try:
        return result(queue.summary())
    finally:
        queue.close()


def begin(directory: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from mta.cli.main import main; main()", "queue", "move", *words]
    environment = {**os.environ, "QUEUE_DIR": str(directory)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def moved(directory: Path, *words: str) -> str:
    done = begin(directory, *words)
    said, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    return said


def place(url: str) -> int:
    """Return the place up to which a move has come."""
    with psycopg.connect(url) as connection:
        try:
            row = connection.execute("SELECT value FROM smtprelay.meta WHERE name LIKE 'moving %'").fetchone()
        except psycopg.errors.UndefinedTable:
            return 0
        return row[0] if row else 0


def test_a_move_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, database_url: str) -> None:
    before = filled(tmp_path)
    killed = begin(tmp_path, "--to", database_url)
    until(lambda: place(database_url) or killed.poll() is not None)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert "finished the move" in moved(tmp_path, "--to", database_url)
    assert in_database(database_url) == before
    assert in_files(tmp_path).messages == 0
    assert "moved the queue" in moved(tmp_path, "--from", database_url)
    assert in_files(tmp_path) == before
    assert in_database(database_url).messages == 0
