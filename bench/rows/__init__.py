"""The rows of the table, one module each, in the order in which `python -m bench` runs them: B1 to B23."""

from bench.row import Row
from bench.rows import (
    attachments,
    backlog,
    bad_clients,
    dead_destination,
    dkim_signing,
    idle_connections,
    idle_relay,
    intake,
    large_messages,
    latency,
    login_rate,
    logins,
    mailing_list,
    many_sessions,
    new_connections,
    on_postgres,
    operator_view,
    rules,
    starttls,
    throughput,
)

#: Every row there is.
ROWS: tuple[Row, ...] = (
    throughput.ROW,
    new_connections.ROW,
    latency.ROW,
    many_sessions.ROW,
    intake.ROW,
    attachments.ROW,
    large_messages.ROW,
    dkim_signing.ROW,
    starttls.ROW,
    mailing_list.ROW,
    backlog.ROW,
    dead_destination.ROW,
    idle_connections.ROW,
    idle_relay.ROW,
    bad_clients.ROW,
    logins.ROW,
    login_rate.ROW,
    rules.ROW,
    *operator_view.ROWS,
    on_postgres.ROW,
)
