from pathlib import Path

from mta.config.help_text import DETAILS
from mta.config.table import SETTINGS
from mta.delivery.destinations.window import WindowLimits
from mta.delivery.limits import DeliveryLimits
from mta.inbound.limits import InboundLimits
from mta.queue.disk.space import RESERVE
from mta.smtp.limits import SmtpLimits
from tools.settings_page import configuration_page, markdown_table

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
    assert lines.index("## A smarthost") < lines.index("### `SMARTHOST_ADDRESS`") < lines.index("## Gmail")


def test_the_limits_without_a_setting_are_those_of_the_program() -> None:
    rows = configuration_page().partition("## What has no setting")[2].splitlines()
    told = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in rows if row.startswith("|")}
    smtp, limits, window = SmtpLimits(), InboundLimits(), WindowLimits()
    assert told == {
        "limit": "value",
        "---": "---",
        "recipients of a message that comes in": f"{smtp.recipients:,}",
        "refused recipients of a message, if they are more than half": str(smtp.bad_recipients),
        "header of a message": f"{limits.header_size >> 20} MiB",
        "`Received:` fields of a message": str(limits.hops),
        "mistakes in a session": str(smtp.errors),
        "commands without mail in a session": str(smtp.idle_commands),
        "clients at once": f"{limits.connections:,}",
        "clients at once that are not trusted": f"{int(limits.connections * limits.stranger_share):,}",
        "clients at once from an address that is not trusted": str(limits.connections_per_stranger),
        "connections to a destination": f"{window.most}, from {window.start} on as it answers well",
        "recipients of a message that we send at a time": str(DeliveryLimits().recipients_per_transaction),
        "free room that is left on the queue's disk and in its file": f"{RESERVE >> 20} MiB",
    }


def test_the_page_in_docs_is_the_one_that_the_table_gives() -> None:
    assert PAGE.read_text() == configuration_page(), "run: python -m tools.settings_page > docs/configuration.md"


def test_the_table_has_a_row_for_every_setting() -> None:
    rows = markdown_table().splitlines()[2:]
    assert len(rows) == len(SETTINGS)
    assert rows[0] == "| `PORT` | `25` | The port we listen on. |"
    assert any(row.startswith("| `SES_USER`, `SES_USER_FILE` | none | ") for row in rows)
    assert all(row.count("|") == 4 for row in rows)


def test_the_readme_has_the_table_as_it_is() -> None:
    between = README.read_text().partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert between == markdown_table(), "put the output of `python -m tools.settings_page table` between the marks"
