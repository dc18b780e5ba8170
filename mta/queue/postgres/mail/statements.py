"""The SQL statements of a message's way by name, read from `queue_schema/postgres/mail.sql` at import."""

from dataclasses import dataclass
from importlib.resources import files

from mta.queue.sql.statements import read_statements


@dataclass(frozen=True, slots=True)
class MailStatements:
    """The statements, a field for each in mail.sql. A name that only one of the two has is an error at import."""

    claim: str
    recipients: str
    due_messages: str
    due_envelopes: str
    defer: str
    release: str
    given_back: str
    release_deferred: str
    next_due: str
    strays: str
    release_strays: str
    lock: str
    settle: str
    drop_attempts: str
    recorded: str
    drop_chunks: str
    add_chunk: str
    chunks: str
    reuse_space: str
    give_space_back: str


SQL = read_statements(MailStatements, (files("queue_schema") / "postgres" / "mail.sql").read_text("utf-8"))
