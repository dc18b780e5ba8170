"""The table of all metrics. docs/metrics.md has the same; a test compares them with the exposition."""

from mta.metrics.metric import Kind, Merge, Metric

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 21600.0, 86400.0)
_STAGE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_OCTETS = (1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0, 67108864.0)

#: The ends of sessions that are not the client's QUIT, and of those the cases that `mta.metrics.labels` tells apart.
ENDS = ("error", "lost", "stopping", "timeout", "tls", "unread")
#: The mechanisms that the relay offers; others count as `other`.
MECHANISMS = ("LOGIN", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
TLS_VERSIONS = ("none", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "other")
#: Destinations with series of their own, those with most waiting mail; all others together are `other`.
MOST_DESTINATIONS = 50

_COUNTERS = (
    Metric("client_connections", Kind.COUNTER, "Connections of clients that were let in."),
    Metric("clients_turned_away", Kind.COUNTER, "Connections that were answered with a refusal at once."),
    Metric("sessions_ended", Kind.COUNTER, "Sessions with an end other than the client's own.", ("end",), ENDS),
    Metric("refusals", Kind.COUNTER, "Negative replies to senders, recipients, messages and commands.", ("by", "code")),
    Metric("accepted_messages", Kind.COUNTER, "Messages of clients that are on disk."),
    Metric("accepted_bytes", Kind.COUNTER, "Their octets."),
    Metric("accepted_recipients", Kind.COUNTER, "Their recipients."),
    Metric(
        "attempts",
        Kind.COUNTER,
        "Results of delivery attempts, one a recipient, by class and subject of the enhanced status (RFC 3463): `4.7`.",
        ("result", "status"),
    ),
    Metric(
        "recipients",
        Kind.COUNTER,
        "Recipients that are done.",
        ("outcome",),
        ("delivered", "discarded", "failed"),
    ),
    Metric("throttles", Kind.COUNTER, "Times at which a destination asked for a slower pace or fewer connections."),
    Metric("reports", Kind.COUNTER, "Reports to senders, and copies for the postmaster, that were queued.", ("kind",)),
    Metric("unreported", Kind.COUNTER, "Failures that no sender was told of."),
    Metric("logins", Kind.COUNTER, "Logins of clients.", ("result", "mechanism")),
    Metric(
        "tls_deliveries",
        Kind.COUNTER,
        "Recipients delivered, by the version of TLS of the connection.",
        ("version",),
        TLS_VERSIONS,
    ),
    Metric(
        "tls_accepted",
        Kind.COUNTER,
        "Messages accepted, by the version of TLS of the client's connection.",
        ("version",),
        TLS_VERSIONS,
    ),
    Metric(
        "dns_lookups",
        Kind.COUNTER,
        "Look-ups in the DNS that no cache could answer, by their result.",
        ("result",),
        ("failed", "found", "no_data", "no_such_name"),
    ),
    Metric("possible_duplicates", Kind.COUNTER, "Copies that may arrive twice."),
    Metric("leases_lost", Kind.COUNTER, "Results that came too late to count."),
    Metric("destinations_went_down", Kind.COUNTER, "Times at which a destination was found to take no connection."),
    Metric("alarms", Kind.COUNTER, "Events alarm: the relay has broken a promise."),
    Metric("faults", Kind.COUNTER, "Events fault: the relay has a bug."),
    Metric("troubles", Kind.COUNTER, "Events trouble, those left out of the log included."),
    Metric("log_lines_dropped", Kind.COUNTER, "Lines of the log that were lost because standard output was not read."),
)

_GAUGES = (
    Metric("queue_messages", Kind.GAUGE, "Messages that wait, held ones included."),
    Metric("queue_held_messages", Kind.GAUGE, "Messages that are held."),
    Metric("queue_in_delivery_messages", Kind.GAUGE, "Messages that are being delivered."),
    Metric(
        "queue_oldest_seconds",
        Kind.GAUGE,
        "Age of the oldest message that waits; 0 for an empty queue.",
        merge=Merge.MAX,
    ),
    Metric("queue_recipients", Kind.GAUGE, "Recipients that wait."),
    Metric("history_messages", Kind.GAUGE, "Finished messages that the queue remembers."),
    Metric("queue_due_messages", Kind.GAUGE, "Messages that are due and not being delivered."),
    Metric(
        "queue_late_seconds",
        Kind.GAUGE,
        "Time since the first of the due messages became due; 0 if there is none. Relays are too few, or too slow, if"
        " it grows.",
        merge=Merge.MAX,
    ),
    Metric("queue_bytes", Kind.GAUGE, "Octets of the messages that wait."),
    Metric("queue_free_bytes", Kind.GAUGE, "Octets that mail may still take on the queue's disk.", merge=Merge.MIN),
    Metric("queue_full", Kind.GAUGE, "1 if mail is refused for lack of room, else 0.", merge=Merge.MAX),
    Metric("queue_read_seconds", Kind.GAUGE, "Time of the last read of these figures from the queue.", merge=Merge.MAX),
    Metric(
        "ledger_recipients",
        Kind.GAUGE,
        "The ledger: recipients ever accepted, and their results.",
        ("term",),
        ("accepted", "delivered", "failed", "removed", "waiting"),
    ),
    Metric("ledger_missing", Kind.GAUGE, "Recipients that the ledger cannot account for: 0 unless mail was lost."),
    Metric("destinations", Kind.GAUGE, "Destinations that are known."),
    Metric("destinations_down", Kind.GAUGE, "Destinations that take no connection."),
    Metric("destinations_throttled", Kind.GAUGE, "Destinations that have asked for a slower pace."),
    Metric(
        "destination_waiting",
        Kind.GAUGE,
        "Groups of recipients in memory that wait for a connection, for the 50 destinations with most of them.",
        ("destination",),
    ),
    Metric(
        "destination_down",
        Kind.GAUGE,
        "1 for each of at most 50 destinations that take no connection; the number of further ones as `other`.",
        ("destination",),
    ),
    Metric("connections", Kind.GAUGE, "Open SMTP connections.", ("direction",), ("in", "out")),
    Metric("memory_bytes", Kind.GAUGE, "Resident memory of all processes of the relay."),
    Metric("processes", Kind.GAUGE, "Processes of the relay whose figures are included."),
    Metric(
        "certificate_expiry_timestamp_seconds",
        Kind.GAUGE,
        "End of the certificate of CERTIFICATE_PATH, in seconds since 1970; missing without one.",
        merge=Merge.MIN,
    ),
    Metric(
        "token_expiry_timestamp_seconds",
        Kind.GAUGE,
        "End of the access token for the smarthost, in seconds since 1970; missing without one.",
        merge=Merge.MAX,
    ),
    Metric("build_info", Kind.GAUGE, "1; the labels name the versions.", ("version", "python"), merge=Merge.MAX),
    Metric("start_time_seconds", Kind.GAUGE, "Start of the relay, in seconds since 1970.", merge=Merge.MIN),
)

_HISTOGRAMS = (
    Metric("message_size_bytes", Kind.HISTOGRAM, "Sizes of accepted messages.", buckets=_OCTETS),
    Metric(
        "delivery_seconds",
        Kind.HISTOGRAM,
        "Time from the acceptance of a message to its delivery to a recipient.",
        buckets=_SECONDS,
    ),
    Metric(
        "delivery_attempts",
        Kind.HISTOGRAM,
        "Attempts that the delivery to a recipient took.",
        buckets=(1.0, 2.0, 3.0, 5.0, 10.0, 20.0),
    ),
    Metric(
        "stage_seconds",
        Kind.HISTOGRAM,
        "Time of a delivery by stage: waiting for a connection, and the transaction with the remote host.",
        ("stage",),
        ("connection", "transaction"),
        buckets=_STAGE_SECONDS,
    ),
    Metric(
        "dns_seconds", Kind.HISTOGRAM, "Time of look-ups in the DNS that no cache could answer.", buckets=_STAGE_SECONDS
    ),
    Metric("commit_seconds", Kind.HISTOGRAM, "Time of a commit of the queue, with its sync.", buckets=_COMMIT_SECONDS),
)

#: All metrics by name, in the order of the documentation.
METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_COUNTERS, *_GAUGES, *_HISTOGRAMS)}
