"""B1: a busy relay with many clients, each of which keeps its connection."""

from bench.row import EXIM, HARAKA, POSTFIX, RELAY, RELAY_COMPILED, RELAY_X2, Goal
from bench.rows.sending import Load, Throughput

ROW = Throughput(
    name="B1",
    words="4 KiB, 20 sessions, reused connections, end to end",
    load=Load(),
    goals=(
        Goal("end-to-end/s", 4.2, against=POSTFIX),
        Goal("end-to-end/s", 5, against=POSTFIX, of=RELAY_COMPILED),
        Goal("end-to-end/s", 15, against=EXIM),
        Goal("end-to-end/s", 4, against=HARAKA),
        Goal("CPU ms/message", 0.25, at_most=True, against=HARAKA),
        # A message of two workers costs at most 1.1 times as much.
        Goal("CPU ms/message", 1 / 1.1, against=RELAY_X2),
    ),
    contenders=(RELAY, RELAY_COMPILED, RELAY_X2, POSTFIX, EXIM, HARAKA),
)
