"""The TXT record of MTA-STS."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.sts.record import MAX_RECORD, RecordError, policy_id, record_name

ID = "20261130T000000"
EXTENSION = "a.b-c_d=x!~:y"


@pytest.mark.parametrize(
    "text",
    [
        f"v=STSv1; id={ID};",
        f"v=STSv1;id={ID}",
        f"v=STSv1 \t; \t id={ID} ; ",
        f"v=STSv1; {EXTENSION}; id={ID}",
        f"v=STSv1; id={ID}; id=other; {EXTENSION};",
        f"v=STSv1; id={ID}; id=not-an-id",
        f"v=STSv1; id={ID}; behind the id = anything",
    ],
)
def test_a_record_has_an_id(text: str) -> None:
    assert policy_id(["spf", text, ""]) == ID


@pytest.mark.parametrize(
    "text", ["", "v=spf1 -all", "v=STSv2; id=1", "V=STSv1; id=1", " v=STSv1; id=1", "v=STSv10; id=1"]
)
def test_other_records_are_none_of_mta_sts(text: str) -> None:
    assert policy_id([text]) is None
    assert policy_id([text, f"v=STSv1; id={ID}"]) == ID


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v=STSv1", "no id"),
        ("v=STSv1;", "no id"),
        ("v=STSv1; a=b;", "no id"),
        ("v=STSv1; ID=1;", "no id"),
        ("v=STSv1; id=;", "malformed"),
        ("v=STSv1;; id=1", "malformed"),
        ("v=STSv1; id", "malformed"),
        ("v=STSv1; id=1 2", "malformed"),
        ("v=STSv1; id=a-b", "1 to 32 letters"),
        (f"v=STSv1; id={'1' * 33}", "1 to 32 letters"),
        ("v=STSv1; \u00fc=b; id=1", "malformed"),
        (f"v=STSv1; id=1; a={'b' * MAX_RECORD}", "more than"),
    ],
)
def test_a_malformed_record_is_told(text: str, words: str) -> None:
    with pytest.raises(RecordError, match=words):
        policy_id([text])


def test_two_records_are_one_too_many() -> None:
    with pytest.raises(RecordError, match="there are 2 records"):
        policy_id([f"v=STSv1; id={ID}"] * 2)


def test_a_name_too_long_for_the_dns_has_no_record() -> None:
    assert record_name("a.test") == "_mta-sts.a.test"
    assert record_name("a" * 244) == "_mta-sts." + "a" * 244
    assert record_name("a" * 245) == ""


_morsels = st.lists(
    st.sampled_from(["v=STSv1", ";", "id", "=", " ", "\t", "1", "a", "\0", "\u00fc", "\ud800"]), max_size=20
)


@given(st.lists(st.one_of(st.text(), _morsels.map("".join)), max_size=4))
def test_any_records_give_an_id_none_or_a_record_error(texts: list[str]) -> None:
    try:
        found = policy_id(texts)
    except RecordError as error:
        found, said = None, str(error)
    else:
        said = ""
    assert said.isprintable()
    assert found is None or (found.isalnum() and found.isascii() and len(found) <= 32)


@given(st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True), st.lists(st.just(EXTENSION), max_size=3))
def test_a_well_formed_record_gives_its_id(own: str, extensions: list[str]) -> None:
    assert policy_id(["; ".join(["v=STSv1", *extensions, f"id={own}", *extensions])]) == own


def test_long_records_take_no_time() -> None:
    begun = time.process_time()
    for text in ("v=STSv1" + " " * 10**6, "v=STSv1;" + " ;" * 10**6, "v=STSv1; a" + "-" * 10**6):
        with pytest.raises(RecordError):
            policy_id([text])
    assert time.process_time() - begun < 2
