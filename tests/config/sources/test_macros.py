"""Exim's macros file: macros that take effect, and notices about the others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.sources.macros import PROTOCOL, REQUIRE_TLS, VERIFY_HOSTS, Macros, parse_macros

PATH = "/macros"


def notices(text: str) -> tuple[str, ...]:
    return parse_macros(text, PATH).notices


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("MESSAGE_SIZE_LIMIT = 1K", {"MESSAGE_SIZE_LIMIT": "1K"}),
        ("MESSAGE_SIZE_LIMIT=20M", {"MESSAGE_SIZE_LIMIT": "20M"}),
        ("MESSAGE_SIZE_LIMIT == 20M", {"MESSAGE_SIZE_LIMIT": "20M"}),
        ("  DKIM_SELECTOR = mail  ", {"DKIM_SELECTOR": "mail"}),
        ("DKIM_CANON = relaxed", {"DKIM_CANON": "relaxed"}),
        ("DKIM_PRIVATE_KEY = /etc/exim4/dkim.key", {"DKIM_KEY_PATH": "/etc/exim4/dkim.key"}),
        ("MAIN_HARDCODE_PRIMARY_HOSTNAME = mta.x.test", {"MAILNAME": "mta.x.test"}),
        ("IGNORE_SMTP_LINE_LENGTH_LIMIT = 1", {"LINE_LENGTH_LIMIT": "0"}),
        ("IGNORE_SMTP_LINE_LENGTH_LIMIT =", {"LINE_LENGTH_LIMIT": "0"}),
        ("MESSAGE_SIZE_LIMIT = \\\n  7K", {"MESSAGE_SIZE_LIMIT": "7K"}),
        ("MESSAGE_SIZE_LIMIT = \\\n# a remark\n7K", {"MESSAGE_SIZE_LIMIT": "7K"}),
        ("MESSAGE_SIZE_LIMIT = 1K\nMESSAGE_SIZE_LIMIT == 2K", {"MESSAGE_SIZE_LIMIT": "2K"}),
        ("DKIM_PRIVATE_KEY = ${if exists{/k.pem}{/k.pem}{0}}", {"DKIM_KEY_PATH": "/k.pem"}),
    ],
)
def test_a_macro_with_the_name_of_a_setting_sets_it(line: str, texts: dict[str, str]) -> None:
    assert parse_macros(line, PATH) == Macros(texts, path=PATH)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (f"{VERIFY_HOSTS} = :", {VERIFY_HOSTS}),
        (f"{VERIFY_HOSTS} =", {VERIFY_HOSTS}),
        (f"{VERIFY_HOSTS} = *", set()),
        (f"{PROTOCOL} = smtps", {PROTOCOL}),
        (f"{PROTOCOL} = smtp", set()),
        (f"{REQUIRE_TLS} = *", {REQUIRE_TLS}),
        (f"{REQUIRE_TLS} = *\n{REQUIRE_TLS} == :", set()),
    ],
)
def test_the_smarthosts_macros_are_wishes(line: str, changes: set[str]) -> None:
    assert parse_macros(line, PATH) == Macros(changes=frozenset(changes), path=PATH)


def test_blank_lines_and_comments_are_ignored() -> None:
    assert parse_macros("\n  \n# MESSAGE_SIZE_LIMIT = 1K\n  # more\n", PATH) == Macros(path=PATH)


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        ("\n\nCHECK_RCPT_X = y", "/macros:3: CHECK_RCPT_X has no effect: Exim's configuration is not used"),
        ("DKIM_DOMAIN = a.test", "/macros:1: DKIM_DOMAIN has no effect: the domain of From: is the signing domain"),
        (f"{VERIFY_HOSTS} = a.test", f"/macros:1: {VERIFY_HOSTS} has no effect: only the values : and * are supported"),
        (
            "DKIM_CANON = nofws",
            "/macros:1: DKIM_CANON has no effect: not simple or relaxed, or two of these separated by a slash",
        ),
        ("MESSAGE_SIZE_LIMIT = 0", "/macros:1: MESSAGE_SIZE_LIMIT has no effect: not a size"),
        ("DKIM_SELECTOR = ${lookup}", "/macros:1: DKIM_SELECTOR has no effect: Exim's expansions are not supported"),
        ("begin acl", "/macros:1: begin has no effect: Exim's configuration is not used"),
        ("hide mysql_servers = h/d/u/s3cret", "/macros:1: hide has no effect"),
        ("=", "/macros:1: this line has no effect"),
        ("X \\", "/macros:1: X has no effect"),
    ],
)
def test_every_other_line_is_named_without_its_value(text: str, notice: str) -> None:
    (said,) = notices(text)
    assert said.startswith(notice)
    assert "s3cret" not in said


def test_a_macro_in_a_condition_is_named_and_not_honoured() -> None:
    macros = parse_macros(".ifdef X\nMESSAGE_SIZE_LIMIT = 1K\n.else\nA = b\n.endif\nDKIM_CANON = simple", PATH)
    assert macros.texts == {"DKIM_CANON": "simple"}
    assert [notice.split(" ")[1] for notice in macros.notices] == [
        ".ifdef",
        "MESSAGE_SIZE_LIMIT",
        ".else",
        "A",
        ".endif",
    ]


def test_the_usual_way_to_name_a_key_that_may_be_missing_is_known() -> None:
    text = "DKIM_FILE = /etc/exim4/k.pem\nDKIM_PRIVATE_KEY = ${if exists{DKIM_FILE}{DKIM_FILE}{0}}"
    assert parse_macros(text, PATH) == Macros({"DKIM_KEY_PATH": "/etc/exim4/k.pem"}, path=PATH)
    assert notices("DKIM_FILE = /k") == ("/macros:1: DKIM_FILE has no effect: set DKIM_KEY_PATH to the key",)


def test_a_long_file_of_other_lines_gives_a_bounded_number_of_notices() -> None:
    said = notices("A = b\n" * 1000)
    assert len(said) == 41
    assert said[-1] == "/macros: 960 more lines have no effect"


@given(st.text(alphabet="ABM_ =:*\\\n#.ifde${}0K\x00\u2028é", max_size=60))
@settings(max_examples=200)
def test_any_text_is_read_and_reported_in_printable_lines(text: str) -> None:
    assert all(notice.isprintable() and len(notice) < 500 for notice in notices(text))


def test_an_expansion_that_does_not_end_is_read_once() -> None:
    # Each blank tried with each other would take hours.
    (notice,) = notices("DKIM_PRIVATE_KEY = ${if exists{/k}{/k}" + " " * 500_000 + "x")
    assert notice.startswith(f"{PATH}:1: DKIM_PRIVATE_KEY has no effect: Exim's expansions are not supported")
