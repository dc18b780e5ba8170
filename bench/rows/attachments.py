"""B6: messages with an attachment, before a sink that does not look at each octet."""

from bench.recipients import RecipientSink
from bench.row import POSTFIX, Goal
from bench.rows.sending import Load, Throughput

ROW = Throughput(
    name="B6",
    words="100 KiB, 20 sessions, reused connections, end to end",
    load=Load(octets=100 * 1024),
    goals=(Goal("end-to-end/s", 2, against=POSTFIX),),
    messages=2000,
    quick_messages=300,
    sink=RecipientSink,
)
