"""B4: more clients at once must not make each message dearer."""

from bench.row import RELAY_X2, Goal
from bench.rows.sending import Load, Throughput

ROW = Throughput(
    name="B4",
    words="4 KiB, 100 sessions, reused connections, end to end",
    load=Load(sessions=100),
    goals=(
        Goal("end-to-end/s", 0.9, against="B1/smtprelay"),
        # A message of two workers costs at most 1.1 times as much. They are made for this load; B1 shows a smaller one.
        Goal("CPU ms/message", 1 / 1.1, against=RELAY_X2),
    ),
    grown=(1, 5, 20, 50, 100),
)
