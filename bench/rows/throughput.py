"""B1: a busy relay with many clients, each of which keeps its connection."""

from bench.row import EXIM, POSTFIX, Goal
from bench.rows.sending import Load, Throughput

ROW = Throughput(
    name="B1",
    words="4 KiB, 20 sessions, reused connections, end to end",
    load=Load(),
    goals=(Goal("end-to-end/s", 4, against=POSTFIX), Goal("end-to-end/s", 15, against=EXIM)),
)
