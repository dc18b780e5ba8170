"""A long history of evenly spread mail, written into a queue file by SQL: a million messages in half a minute."""

from pathlib import Path

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.sqlite.queue import open_queue
from mta.queue.sqlite.schema import connect

_HOUR = 3600.0

_MESSAGES = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?1)
INSERT INTO message (id, created, size, in_file, sender_local, sender_domain, client, helo, protocol, body_type,
                     smtputf8, token, leased, finished, message_id, subject, author, tls)
SELECT (CAST((?2 + n * ?3) * 1000000 AS INTEGER) << 10) + 7, ?2 + n * ?3, 4096, 0, 'sender' || (n % 1000), 'a.test',
       '192.0.2.' || (n % 250), 'client.a.test', 'ESMTPS', '7BIT', 0, 1, 0, ?2 + n * ?3 + 1,
       '20261129.' || n || '@client.a.test', 'Your invoice number ' || n || ' of this month',
       'The Shop <sender' || (n % 1000) || '@a.test>', 'TLSv1.3 TLS_AES_256_GCM_SHA384'
FROM numbers
"""
_RECIPIENTS = """
INSERT INTO recipient (message_id, idx, local, domain, status, attempts, reply, host, finished)
SELECT id, 0, 'user' || (n % 9973), 'dest' || (n % 500) || '.test',
       CASE n % 101 WHEN 0 THEN 'failed' ELSE 'delivered' END, 1,
       '250 2.0.0 Ok: queued as 4fT8k92Vz9z1', 'mx.dest.test[198.51.100.7]:25', finished
FROM (SELECT id, finished, row_number() OVER (ORDER BY id) AS n FROM message) ORDER BY id
"""


def fill(directory: Path, messages: int, days: float, now: float) -> None:
    """Make a queue whose history has so many messages of these days. Each has one recipient in one of 500 domains.

    One in a hundred has failed.
    """
    open_queue(directory, run=run_inline, now=now).close()
    connection = connect(directory / FILE_NAME)
    connection.execute("PRAGMA synchronous = OFF")
    span = days * 24 * _HOUR
    connection.execute("BEGIN")
    connection.execute(_MESSAGES, (messages, now - span, span / messages))
    connection.execute(_RECIPIENTS)
    connection.execute(
        "UPDATE ledger SET accepted = ?1, failed = (SELECT count(*) FROM recipient WHERE status = 'failed'),"
        " delivered = (SELECT count(*) FROM recipient WHERE status = 'delivered')",
        (messages,),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
