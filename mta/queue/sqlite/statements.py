"""The SQL statements of the queue by name, read from `queue_schema/sqlite/queries.sql` at import."""

from dataclasses import dataclass
from importlib.resources import files

from mta.queue.sql.statements import read_statements

#: The folder of the SQL files.
SHIPPED = files("queue_schema") / "sqlite"


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements, a field for each in queries.sql. A name that only one of the two has is an error at import."""

    begin: str
    begin_reading: str
    commit: str
    rollback: str
    add_message: str
    add_recipient: str
    add_body: str
    claimable: str
    claimable_among: str
    due_messages: str
    due_envelopes: str
    defer: str
    lease: str
    recipients: str
    confirm_lease: str
    settle_recipient: str
    end_reroute: str
    add_attempt: str
    drop_attempts: str
    earliest_due: str
    give_back: str
    leased: str
    finish_message: str
    drop_body: str
    finished: str
    next_due: str
    waiting_among: str
    all_waiting: str
    all_unheld: str
    all_held: str
    waiting_for: str
    others_wait: str
    retry: str
    reroute: str
    try_now: str
    hold: str
    remove_recipients: str
    remove_recipient: str
    without_waiting: str
    remove_messages: str
    remove_bodies: str
    returnable: str
    last_replies: str
    return_recipient: str
    forget: str
    entries: str
    attempts: str
    reports: str
    domains: str
    domain_replies: str
    content: str
    first_due: str
    never_due: str
    count_messages: str
    load: str
    oldest: str
    count_finished: str
    count_failed: str
    count_recipients: str
    update_ledger: str
    ledger: str
    in_flight_marks: str
    still_waiting: str
    recover_leases: str
    newest: str
    slice_end: str
    make_due: str
    release_deferred: str
    waiting_files: str
    merge_mark: str
    set_merge_mark: str
    clear_merge_mark: str
    attach: str
    detach: str
    free_pages: str
    leftover_pages: str
    leftover_free_pages: str
    leftover_file_octets: str
    leftover_files: str
    leftover_id_conflict: str
    leftover_messages: str
    copy_messages: str
    copy_recipients: str
    copy_attempts: str
    copy_counts: str
    copy_forgotten: str
    copy_bodies: str


SQL = read_statements(Statements, (SHIPPED / "queries.sql").read_text("utf-8"))
