"""Regular expressions: the same answers as Python's, in linear time, and words about those that cannot be used."""

import pickle
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mta.rules.expressions import MAX_EXPRESSION, MAX_STATES, Expression

_LETTERS = ["a", "b", "C", ".", "\u00e9", "{", "}", "a{", r"\d", r"\W", r"\.", r"\x61"]
_ATOMS = [*_LETTERS, "[ab]", "[^a-b]", "[]]", "[^]a]", r"[\]a]"]
_REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,2}", "{,2}", "{2,}", "{0,0}", "{1,3}?", "{,}"]


def _larger(inner):
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(st.one_of(inner, st.just("")), min_size=1, max_size=3).map("|".join).map("({})".format),
        st.lists(inner, min_size=1, max_size=3).map("|".join).map("(?:{})".format),
        st.builds("(?:{}){}".format, inner, st.sampled_from(_REPEATS)),
        st.builds("{}{}".format, st.sampled_from(_ATOMS), st.sampled_from(_REPEATS)),
    )


_EXPRESSIONS = st.recursive(st.sampled_from(_ATOMS), _larger, max_leaves=8)
_TEXTS = st.text(st.sampled_from("abcABC1. ]{}\u00e9\u00c9\n"), max_size=7)


@given(st.lists(_EXPRESSIONS, min_size=1, max_size=2), _TEXTS, st.booleans())
@example(["(a|ab)(c|bcd)(d*)"], "abcd", False)
@example(["ab?"], "a", False)
@example(["a.b"], "a\nb", False)
@example(["(?:a?){3}b"], "aab", True)
@example(["(?:(?:a|)b?)*"], "", True)
def test_the_answer_is_that_of_python(branches, text, anchored):
    written = "|".join(f"^{branch}$" if anchored else branch for branch in branches)
    try:
        expression = Expression(written)
    except ValueError as error:
        reason = str(error)
        assume("too large" not in reason and "not a regular expression" not in reason)
        raise
    wanted = any(re.fullmatch(branch, text, re.IGNORECASE | re.DOTALL) for branch in branches)
    assert expression.matches(text) is wanted
    assert expression.matches(text) is wanted, "from the kept sets"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("^(?:a*)*b", "a" * 2000),
        ("^(?:a|a)*b", "a" * 2000),
        ("^(?:a|aa)+$", "a" * 1999 + "b"),
        ("^.*.*.*.*.*.*b", "a" * 2000),
        ("^" + "a?" * 50 + "a" * 50 + "b", "a" * 75),
        ("^(?:.*a.*|.*b.*)*c$", "ab" * 1000),
    ],
)
def test_a_text_that_would_take_python_hours_is_answered_at_once(written, text):
    assert Expression(written).matches(text) is False


def test_the_memory_of_an_expression_is_bounded(monkeypatch):
    monkeypatch.setattr("mta.rules.expressions._MAX_KEPT", 10)
    expression = Expression("^.*a.{12}b")
    for number in range(300):
        text = f"{number:b}".replace("1", "a").replace("0", "b") + "a" + chr(0x100 + number) * 12 + "b"
        assert expression.matches(text)
    assert len(expression._kept_sets) <= 10
    assert len(expression._kept_atoms) <= 10


@pytest.mark.parametrize("written", ["^(?i)a", "^(?=a)", "^(?<!a)b", "^(?P<x>a)", "^(?#note)", "^(?>a)"])
def test_groups_that_no_automaton_has_are_refused(written):
    with pytest.raises(ValueError, match=r"cannot be used in a rule|not a regular expression"):
        Expression(written)


@pytest.mark.parametrize("written", [r"^(a)\1", r"^\bfree\b", r"^a\B", r"^\Aa", "^a*+", "^a?+b", "^a{2}+"])
def test_other_parts_that_no_automaton_has_are_refused(written):
    with pytest.raises(ValueError, match="cannot be used in a rule"):
        Expression(written)


@pytest.mark.parametrize("written", ["^a^b", "^a$b", "^(^a)", "^(a$)", r"^a\Zb", "^^a"])
def test_an_anchor_inside_is_refused(written):
    with pytest.raises(ValueError, match="cannot be used here, because the whole text must match"):
        Expression(written)


@pytest.mark.parametrize("written", ["^(", "^a**", "^[", "^a{3,2}", "^*", "^[[a]b]", "^\\", "^" + "(" * 150 + ")" * 49])
def test_no_regular_expression(written):
    with pytest.raises(ValueError, match="is not a regular expression: "):
        Expression(written)


def test_the_size_is_bounded_before_it_is_built():
    Expression(f"^a{{{MAX_STATES}}}")
    for written in (f"^a{{{MAX_STATES + 1}}}", "^(?:(?:(?:a{99}){99}){99}){99}", "^(?:){99999}", "^a{0,1000000000}"):
        with pytest.raises(ValueError, match="is too large"):
            Expression(written)
    with pytest.raises(ValueError, match="at most 200 characters"):
        Expression("^" + "a" * MAX_EXPRESSION)


def test_an_expression_reaches_another_process_and_is_equal_there():
    expression = Expression("^a.*b$")
    copy = pickle.loads(pickle.dumps(expression))
    assert copy == expression
    assert hash(copy) == hash(expression)
    assert copy.matches("A x B")
    assert repr(copy) == "Expression('^a.*b$')"
    assert copy != Expression("^a")
