"""The rows of the table, one module each, called as the row; `python -m bench` runs them in this order."""

from bench.row import Row
from bench.rows import b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15

#: Every row there is.
ROWS: tuple[Row, ...] = (
    b1.ROW,
    b2.ROW,
    b3.ROW,
    b4.ROW,
    b5.ROW,
    b6.ROW,
    b7.ROW,
    b8.ROW,
    b9.ROW,
    b10.ROW,
    b11.ROW,
    b12.ROW,
    b13.ROW,
    b14.ROW,
    b15.ROW,
)
