"""The counting of `tools/measure_code.py`: which words count as headless clauses and as negatives, and the sizes."""

from pathlib import Path

import pytest

from tools.measure_code import Measures, measure, report


def prose(text: str) -> Measures:
    """Return the figures of a text."""
    measures = Measures()
    measures.add_prose(text)
    return measures


def module(text: str) -> Measures:
    """Return the figures of a module's source."""
    measures = Measures()
    measures.add_module(text)
    return measures


@pytest.mark.parametrize(
    "text",
    [
        "Keep what waits.",
        "What waits is kept.",
        "Whatever comes is kept.",
        "Whoever asks is told.",
        "Refuse whoever\nasks.",
        "It goes to whomever the client named.",
        "Return who gets the mail.",
        "Who asked is told.",
        "One item; who asks is told.",
        "The envelope: who sends the message.",
        "It says who may send.",
        "Whose mail is signed.",
        "Is it late? Keep what waits.",
        "- **Who may send.** Anyone.",
        "## Who may send",
    ],
)
def test_a_clause_without_a_noun_counts(text: str) -> None:
    assert prose(text).headless == 1


@pytest.mark.parametrize(
    "text",
    [
        "Keep the messages that wait.",
        "An operator who asks is told.",
        "Those who ask are told.",
        "The sender, who may be a victim, is told.",
        "A host whose address is known.",
        "What is this?",
        "What is\nthis for?",
        "Who is told?",
        "A somewhat long line, to whom it may concern.",
        "The command `what` and ``who what`` and the event `tell who`.",
        "```\nwho | what\n```",
        'The reply "550 I know what you did" is final.',
        "The reply “421 whoever you are” ends the session.",
        "See [the page](server.md#what-and-who).",
    ],
)
def test_a_question_a_relative_pronoun_code_and_a_quotation_do_not_count(text: str) -> None:
    assert prose(text).headless == 0


def test_each_clause_counts() -> None:
    assert prose('Return what waits, or what came; "" for whoever knows who asked.').headless == 4


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Nobody is told. None of them waits, nothing is kept, and there is none.", 4),
        ("Return the reply, or None if more octets are needed.", 0),
        ("`nothing` and ``none `x` `` are values of the setting.", 0),
        ('The log says "nothing to do".', 0),
        ("It is not kept, nonetheless.", 0),
    ],
)
def test_negative_words_count_in_prose_alone(text: str, number: int) -> None:
    assert prose(text).negative == number


def test_words_are_counted_without_code() -> None:
    assert prose("Two words `and code` a 1 x.\n").words == 2


MODULE = '''"""What it is."""

#: What this is,
#: and who asks.
A = "what is not prose"
B = 1  # Who asks is told.


class Pair:
    """Nothing more."""

    def first(self) -> int:
        """Return what comes first.

        A line.
        """
        return 1


class _Other:
    class Pair:
        pass
'''


def test_a_modules_prose_is_its_docstrings_and_comments() -> None:
    measures = module(MODULE)
    assert (measures.headless, measures.negative) == (5, 1)
    assert measures.words == 13 + 7  # "a" is too short for a word


def test_a_module_has_lines_functions_without_their_docstrings_and_class_names() -> None:
    measures = module(MODULE)
    assert measures.file_lines == [MODULE.count("\n")]
    assert measures.function_lines == [2]
    assert measures.repeated_classes == ["Pair"]


def test_comments_that_stand_apart_are_texts_of_their_own() -> None:
    assert module("# It goes to\n\n# who asks.\n").headless == 1
    assert module("# A client\n# who asks.\n").headless == 0


def test_rates_are_per_thousand_words() -> None:
    measures = prose("Keep what waits, then nothing. " * 100)
    assert (measures.headless_rate, measures.negative_rate) == (200.0, 200.0)
    assert (Measures().headless_rate, Measures().negative_rate) == (0.0, 0.0)


def test_folders_modules_and_pages_are_measured_together(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "one.py").write_text('"""Keep what waits."""\nKEPT = 1\n')
    (tmp_path / "inner" / "__init__.py").write_text('"""Keep them."""\n')
    (tmp_path / "two.md").write_text("Keep what waits.\n")
    (tmp_path / "other.txt").write_text("Keep what waits.\n")
    (tmp_path / "page.md").write_text("Keep what waits.\n")
    both = measure([tmp_path / "inner", tmp_path / "two.md"])
    assert (both.headless, both.words, both.file_lines) == (2, 8, [2])
    assert measure([tmp_path]).headless == 3


def test_the_report_has_a_line_for_each_figure() -> None:
    assert [line.split(":")[0] for line in report(module(MODULE))] == [
        "clauses headed by what, who or whoever, per 1,000 words",
        "nobody, none and nothing, per 1,000 words",
        "files",
        "class names with two meanings or more",
    ]
    assert list(report(Measures())) == []
