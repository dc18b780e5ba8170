"""B4: more clients at once must not make each message dearer."""

from bench.row import Goal
from bench.rows.sending import Load, Throughput

ROW = Throughput(
    name="B4",
    words="4 KiB, 100 sessions, reused connections, end to end",
    load=Load(sessions=100),
    goals=(Goal("end-to-end/s", 0.9, against="B1/smtprelay"),),
    grown=(1, 5, 20, 50, 100),
)
