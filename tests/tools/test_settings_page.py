"""docs/configuration.md and the README's table are those that the table of settings gives."""

from pathlib import Path

from mta.config.help_text import DETAILS
from mta.config.table import SETTINGS
from mta.delivery.destinations.window import WindowLimits
from mta.delivery.limits import DeliveryLimits
from mta.inbound.limits import InboundLimits
from mta.inbound.login import MAX_FAILURES
from mta.inbound.sockets.proxied import HEADER_TIMEOUT
from mta.queue.disk.space import RESERVE
from mta.smtp.limits import SmtpLimits
from mta.users.failure_limits import SHUT_OUT_FROM
from mta.users.password_check import MAX_WAITING
from mta.users.users_file import MAX_USERS
from tools.settings_page import configuration_page, essential_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"
README = ROOT / "README.md"


def test_every_setting_has_its_heading_in_the_order_of_the_table() -> None:
    headings = [line.split("`")[1] for line in configuration_page().splitlines() if line.startswith("### `")]
    assert headings == [setting.name for setting in SETTINGS]


def test_every_explanation_is_of_a_setting_and_on_the_page() -> None:
    assert set(DETAILS) <= {setting.name for setting in SETTINGS}
    page = configuration_page()
    assert all(text in page for text in DETAILS.values())


def test_an_explanation_has_no_line_too_long_for_a_page() -> None:
    assert all(len(line) <= 120 for text in DETAILS.values() for line in text.splitlines())


def test_sections_stand_before_their_first_setting() -> None:
    lines = configuration_page().splitlines()
    assert lines.index("## Smarthost") < lines.index("### `SMARTHOST_ADDRESS`") < lines.index("## Gmail")


def test_the_limits_without_a_setting_are_those_of_the_program() -> None:
    rows = configuration_page().partition("## Limits without a setting")[2].splitlines()
    told = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in rows if row.startswith("|")}
    smtp, limits, window = SmtpLimits(), InboundLimits(), WindowLimits()
    assert told == {
        "limit": "value",
        "---": "---",
        "recipients of an incoming message": f"{smtp.recipients:,}",
        "refused recipients of a message, if they are more than half": str(smtp.bad_recipients),
        "header of a message": f"{limits.header_size >> 20} MiB",
        "`Received:` fields of a message": str(limits.hops),
        "errors in a session": str(smtp.errors),
        "commands without mail in a session": str(smtp.idle_commands),
        "clients at a time": f"{limits.connections:,}",
        "untrusted clients at a time": f"{int(limits.connections * limits.stranger_share):,}",
        "connections at a time from one untrusted address": str(limits.connections_per_stranger),
        "connections that wait for a PROXY header": (f"{limits.unfinished_headers}, each for {HEADER_TIMEOUT:.0f} s"),
        "failed logins in a session": str(MAX_FAILURES),
        "failed logins in an hour from one untrusted address": str(SHUT_OUT_FROM),
        "passwords that wait to be checked": str(MAX_WAITING),
        "users in `AUTH_USERS`": f"{MAX_USERS:,}",
        "connections to a destination": f"{window.most}; {window.start} at first, more while it answers well",
        "recipients of an outgoing transaction": str(DeliveryLimits().recipients_per_transaction),
        "reserve on the queue's disk and in its file": f"{RESERVE >> 20} MiB",
    }


def test_the_page_in_docs_is_the_one_that_the_table_gives() -> None:
    assert PAGE.read_text() == configuration_page(), "run: python -m tools.settings_page > docs/configuration.md"


def test_the_table_on_the_page_has_a_row_for_every_setting() -> None:
    rows = table_rows(configuration_page().partition("## All settings\n")[2].partition("\n## ")[0])
    assert len(rows) == len(SETTINGS)
    assert [row.split("`")[1] for row in rows] == [setting.name for setting in SETTINGS]
    assert any(row.startswith("| `SES_USER`, `SES_USER_FILE` | not set | ") for row in rows)
    assert all(row.count("|") == 4 for row in rows)


def test_the_readme_has_ten_rows_of_that_table_as_they_are() -> None:
    between = README.read_text().partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert between == essential_table(), "put the output of `python -m tools.settings_page table` between the marks"
    rows = table_rows(between)
    assert len(set(rows)) == len(rows) == 10
    assert set(rows) <= set(table_rows(configuration_page()))


def table_rows(text: str) -> list[str]:
    """Return the rows of the tables of settings in a text, without their heads."""
    return [line for line in text.splitlines() if line.startswith("| `") and line.split("`")[1].isupper()]
