"""B2: clients that connect anew for every message, as most applications do."""

from bench.row import EXIM, HARAKA, POSTFIX, RELAY, RELAY_COMPILED, RELAY_X2, Goal
from bench.rows.sending import Load, Throughput

ROW = Throughput(
    name="B2",
    words="4 KiB, 20 sessions, a connection a message, end to end",
    load=Load(options=()),
    goals=(
        Goal("end-to-end/s", 3.3, against=POSTFIX),
        Goal("end-to-end/s", 3.5, against=POSTFIX, of=RELAY_COMPILED),
        Goal("end-to-end/s", 10, against=EXIM),
    ),
    contenders=(RELAY, RELAY_COMPILED, RELAY_X2, POSTFIX, EXIM, HARAKA),
)
