"""The page that compares the tools of mail servers: every cell has its source, and the relay has what it says."""

import re
from collections.abc import Callable

import pytest
from click import Context

from mta.cli.main import main
from mta.cli.queue.command import queue
from mta.config.table import SETTINGS
from tests.deploy.manifests import ROOT

PAGE = (ROOT / "docs" / "comparison.md").read_text()
CELL = re.compile(r"\[(yes|partly|no)\]\(([^)]+)\)")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| **")]
NAMES = {setting.name for setting in SETTINGS}
COMMANDS = set(main.list_commands(Context(main)))

#: Whether the relay has it.
OURS: dict[str, Callable[[], bool]] = {
    "Search": lambda: "find" in queue.commands,
    "Summary": lambda: "domains" in queue.commands,
    "History": lambda: "HISTORY_DAYS" in NAMES,
    "Attempts": lambda: "explain" in COMMANDS,
    "Bulk orders": lambda: {"hold", "retry", "remove"} <= set(queue.commands),
    "Bounce now": lambda: "bounce" in queue.commands,
    "Re-route": lambda: "reroute" in queue.commands,
    "Content": lambda: "cat" in queue.commands,
    "Dry run": lambda: "explain" in COMMANDS,
    "Live trace": lambda: "tail" in COMMANDS or "tail" in queue.commands,
    "Metrics": lambda: "METRICS_LISTEN" in NAMES,
    "Page": lambda: "ADMIN_LISTEN" in NAMES,
    "Webhooks": lambda: "EVENTS_URL" in NAMES,
    "Test mail": lambda: "test-mail" in COMMANDS,
    "Deliverability": lambda: "doctor" in COMMANDS,
}


def test_the_table_has_fifteen_rows_and_seven_servers():
    assert len(ROWS) == len(OURS) == 15
    assert {len(row) for row in ROWS} == {8}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][4:].partition("**")[0])
def test_each_cell_has_its_source_and_ours_is_true(row):
    name = row[0][4:].partition("**")[0]
    cells = [CELL.fullmatch(cell.strip(" |")) for cell in row[1:]]
    assert None not in cells
    ours, *others = cells
    assert all(each[2].startswith("https://") for each in others)
    assert ours[1] == "yes"
    assert OURS[name]()
