"""The page of the bad day: each of the twenty situations names the cause, the next attempt and the remedy."""

from pathlib import Path

import pytest

SECTIONS = (Path(__file__).parents[2] / "docs" / "bad-day.md").read_text().split("\n## ")[1:]
# A finished message has no next attempt, but a report or a host that is responsible.
CAUSE = {"meaning", "held", "from here"}
NEXT = {"next", "report", "from here"}
REMEDY = {"remedy", "you may", "from here"}


def names(section: str) -> set[str]:
    """Return the names of the lines of a page."""
    return {line[:11].rstrip() for line in section.partition("```text\n")[2].splitlines()}


def test_there_are_twenty_situations():
    assert len(SECTIONS) == 20


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_a_situation_names_the_cause_the_next_attempt_and_the_remedy(section):
    heading = section.partition("\n")[0]
    told = names(section)
    if heading == "Relaying refused":
        assert "refused at RCPT: 550 5.7.1 relay not permitted: 203.0.113.9 is not in RELAY_NETWORKS" in section
    elif heading == "A full disk":
        assert "smtprelay health" in section
        assert "free" in section
    else:
        assert told & CAUSE
        assert told & NEXT
        assert told & REMEDY
