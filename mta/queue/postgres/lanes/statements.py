"""The statements of lanes, and the forms of that of a batch: for a plain batch, any first offer, and a later one."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files

from mta.queue.postgres.lanes.rows import PLAIN
from mta.queue.postgres.prepared import PreparedStatement, prepared_statement
from mta.queue.sql.statements import read_statements


@dataclass(frozen=True, slots=True)
class BatchStatements:
    """The statements of queries.sql."""

    enter: str
    batch: str
    finished: str
    count: str
    withdraw: str


SQL = read_statements(BatchStatements, (files("queue_schema") / "postgres" / "queries.sql").read_text("utf-8"))

# A part of the text that only some forms have.
_PART = re.compile(r"/\* (\w+): \*/(.*?)/\* :\1 \*/", re.DOTALL)
# The use of an array: for one row after another, or for the place of an id in another array.
_USE = (
    r"unnest\(%\(({names})\)s::(\w+)\[\]\)"
    r"|\(%\(({names})\)s::(\w+)\[\]\)\[(?:place|array_position\([^()]*\(\w+\)s[^()]*\))\]"
)


def _form(name: str, parts: Collection[str], absent: Collection[str] = ()) -> PreparedStatement:
    """Return the statement of a batch with these parts, in which the `absent` arrays are NULL."""
    text = _PART.sub(lambda part: part[2] if part[1] in parts else "", SQL.batch)
    if absent:
        text = re.sub(_USE.format(names="|".join(absent)), lambda use: f"NULL::{use[2] or use[4]}", text)
    return prepared_statement(name, text)


#: Of a first offer in which all columns of PLAIN have usual values.
PLAIN_BATCH = _form("plain_batch", {"plain"}, PLAIN)
#: Of any first offer.
BATCH = _form("batch", {"mixed"})
#: Of an offer of which an earlier one may have been done.
BATCH_AGAIN = _form("batch_again", {"mixed", "again"})
