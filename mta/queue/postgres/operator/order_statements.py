"""The SQL statements of an operator's orders, read from `orders.sql` at import."""

from dataclasses import dataclass
from importlib.resources import files

from mta.queue.sql.statements import read_statements


@dataclass(frozen=True, slots=True)
class OrderStatements:
    """The statements, a field for each in orders.sql. A name that only one of the two has is an error at import."""

    lock: str
    all_messages: str
    all_for: str
    waiting_for: str
    others_wait: str
    retry: str
    reroute: str
    try_now: str
    hold: str
    release: str
    remove: str
    alter: str
    forget: str
    returnable: str
    returnable_recipients: str
    chunk: str
    return_recipients: str


SQL = read_statements(OrderStatements, (files("queue_schema") / "postgres" / "orders.sql").read_text("utf-8"))
