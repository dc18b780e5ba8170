from pathlib import Path

from mta.config.details import DETAILS
from mta.config.table import SETTINGS
from mta.ops.manual import configuration_page

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


def test_the_page_in_docs_is_the_one_that_the_table_gives() -> None:
    assert PAGE.read_text() == configuration_page(), "put what `smtprelay config manual` prints into docs"
