from pathlib import Path

from mta.config.details import DETAILS
from mta.config.table import SETTINGS
from mta.delivery.limits import DeliveryLimits
from mta.delivery.window import WindowLimits
from mta.ops.manual import configuration_page
from mta.queue.room import RESERVE
from mta.smtp.limits import Limits

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


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
    limits, window = Limits(), WindowLimits()
    assert told == {
        "limit": "value",
        "---": "---",
        "recipients of a message that comes in": f"{limits.recipients:,}",
        "refused recipients of a message, if they are more than half": str(limits.bad_recipients),
        "header of a message": f"{limits.header_size >> 20} MiB",
        "`Received:` fields of a message": str(limits.hops),
        "mistakes in a session": str(limits.errors),
        "commands without mail in a session": str(limits.idle_commands),
        "clients at once": f"{limits.connections:,}",
        "clients at once that are not trusted": f"{int(limits.connections * limits.strangers):,}",
        "clients at once from an address that is not trusted": str(limits.connections_per_stranger),
        "connections to a destination": f"{window.most}, from {window.start} on as it answers well",
        "recipients of a message that we send at a time": str(DeliveryLimits().recipients_per_transaction),
        "free room that is left on the queue's disk and in its file": f"{RESERVE >> 20} MiB",
    }


def test_the_page_in_docs_is_the_one_that_the_table_gives() -> None:
    assert PAGE.read_text() == configuration_page(), "put what `smtprelay config manual` prints into docs"
