"""The rows of the table, one module each; `python -m bench` runs them in this order."""

from bench.row import Row

#: Every row there is.
ROWS: tuple[Row, ...] = ()
