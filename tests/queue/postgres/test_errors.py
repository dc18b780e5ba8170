"""Errors of the database in words for an operator."""

import psycopg
import pytest

from mta.queue.postgres.errors import no_connection

_AT = 'connection failed: connection to server at "{}", port {} failed: {}'


def told(text: str) -> str:
    error = str(no_connection(psycopg.OperationalError(text)))
    assert error.startswith("no connection to the database: ")
    return error.removeprefix("no connection to the database: ")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Connection refused\n\tIs the server running on that host?", "Connection refused"),
        (
            'FATAL:  password authentication failed for user "relay"',
            'password authentication failed for user "relay": check QUEUE_PASSWORD and the user in QUEUE_URL',
        ),
        ('FATAL:  database "a" does not exist', 'database "a" does not exist: create it, or correct QUEUE_URL'),
        (
            "server does not support SSL, but SSL was required",
            "server does not support SSL, but SSL was required: turn TLS on at the server",
        ),
        ("session is read-only", "session is read-only: name the server that takes changes in QUEUE_URL"),
    ],
)
def test_a_connection_that_fails_is_told_with_its_host_and_a_remedy(reason: str, words: str) -> None:
    assert told(_AT.format("db.test", 5432, reason)) == f"db.test port 5432: {words}"


def test_each_host_is_told_once() -> None:
    lines = [_AT.format("two.test", 2, "Connection refused"), "Multiple connection attempts failed:"]
    lines += ["- host: 'one.test', port: '1': " + _AT.format("one.test", 1, "timeout expired")]
    lines += ["- host: 'two.test', port: '2': " + _AT.format("two.test", 2, "Connection refused")]
    assert told("\n".join(lines)) == "two.test port 2: Connection refused; one.test port 1: timeout expired"


def test_a_standby_beside_a_server_that_failed_needs_no_remedy() -> None:
    standby = _AT.format("two.test", 2, "session is read-only")
    failed = _AT.format("one.test", 1, "Connection refused")
    assert told(f"{standby}\n{failed}") == "two.test port 2: session is read-only; one.test port 1: Connection refused"


def test_a_socket_and_any_other_text_are_told_in_one_line() -> None:
    socket = 'connection failed: connection to server on socket "/run/s.PGSQL.1" failed: No such file or directory'
    assert told(socket) == "/run/s.PGSQL.1: No such file or directory"
    assert told("timeout\nsecond line") == "timeout"
