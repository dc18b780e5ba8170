"""The answers of a token endpoint: tokens, refusals, and reasons to wait; masked words and advice."""

import base64
import json
from email.utils import formatdate
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.https.interface import HttpAnswer
from mta.oauth.advice import advice
from mta.oauth.answers import AccessToken, TokenLater, TokenRefused, masked, read_answer
from mta.oauth.grants import Provider
from mta.oauth.providers import google_refresh_token
from tests.oauth.test_grants import ACCOUNT, OWN, USERS

NOW = 1_800_000_000.0
GOOD = {"token_type": "Bearer", "access_token": "abc", "expires_in": 3600}


def read(status=200, body=GOOD, headers=None, secrets=()):
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(HttpAnswer(status, headers or {}, octets), NOW, secrets)


def test_a_token_with_its_times():
    assert read() == AccessToken("abc", NOW, NOW + 3600)
    assert read(body=GOOD | {"refresh_token": "new"}) == AccessToken("abc", NOW, NOW + 3600, "new")
    assert "abc" not in repr(read())
    assert "new" not in repr(read(body=GOOD | {"refresh_token": "new"}))


@pytest.mark.parametrize(
    ("seconds", "life"),
    [
        ("3599", 3599),
        (1800.5, 1800.5),
        (None, 3600),
        ("soon", 3600),
        ([], 3600),
        (0, 60),
        (-5, 60),
        (10**400, 3600),
        (1e300, 86400),
        (float("nan"), 3600),
        (float("inf"), 86400),
    ],
)
def test_the_life_of_a_token_is_bounded_and_may_be_written_as_text(seconds, life):
    assert read(body=GOOD | {"expires_in": seconds}).expires == NOW + life


@pytest.mark.parametrize(
    ("life", "renewal"), [(3600, 2700), (86400, 64800), (7200, 5400), (1200, 600), (600, 300), (60, 30)]
)
def test_a_new_token_is_wanted_when_a_quarter_or_15_minutes_are_left_but_not_before_half_of_the_life(life, renewal):
    assert AccessToken("abc", NOW, NOW + life).renewal == NOW + renewal


@pytest.mark.parametrize("change", [{"token_type": "MAC"}, {"token_type": 1}, {"access_token": "a\x01b"}])
def test_a_token_that_no_login_can_carry_is_refused(change):
    assert isinstance(read(body=GOOD | change), TokenRefused)


@pytest.mark.parametrize("change", [{"access_token": ""}, {"access_token": 7}, {"access_token": "ä"}])
def test_an_unusable_token_is_refused(change):
    assert isinstance(read(body=GOOD | change), TokenRefused)


def test_a_refresh_token_that_cannot_be_one_is_ignored():
    assert read(body=GOOD | {"refresh_token": ["x"]}).refresh_token == ""


@pytest.mark.parametrize("status", [500, 502, 503, 599, 429, 408, 425])
def test_an_endpoint_in_trouble_is_asked_later(status):
    assert read(status, b"<html>busy</html>") == TokenLater(
        f"the token endpoint answers with status {status} and no token"
    )


def test_an_error_that_passes_is_asked_later_with_any_status():
    assert isinstance(read(400, {"error": "temporarily_unavailable"}), TokenLater)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", 120),
        ("99999999999999", 3600),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        ("soon", 0),
        ("", 0),
        ("-5", 0),
        ("²", 0),
    ],
)
def test_retry_after_is_honoured_within_an_hour(text, wait):
    assert read(429, b"", {"retry-after": text}).wait == wait


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_has_the_code_and_the_words_of_the_endpoint(status):
    answer = read(
        status, {"error": "invalid_client", "error_description": "AADSTS7000222: expired. Trace ID: 1-2\r\nx"}
    )
    assert answer == TokenRefused("invalid_client", "invalid_client: AADSTS7000222: expired.")


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404])
def test_an_answer_without_token_or_error_is_a_refusal(status):
    assert read(status, b"<html>hello</html>") == TokenRefused(
        "", f"the token endpoint answers with status {status} and no token"
    )


def test_a_redirect_is_refused_with_the_place():
    answer = read(302, b"", {"location": "https://portal.test/\nlogin"})
    assert answer == TokenRefused(
        "",
        "the token endpoint answers with status 302 and no token, but with another place: https://portal.test/ login",
    )


SECRETS = ["hush/secret+%", 'pa"ss\\word\n', "aB3-" * 5, "ümläut-secret"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "encode",
    [
        str,
        str.upper,
        lambda text: quote(text, safe=""),
        lambda text: json.dumps(text)[1:-1],
        lambda text: base64.b64encode(text.encode()).decode(),
    ],
    ids=["plain", "upper", "form", "json", "base64"],
)
def test_words_that_repeat_a_secret_are_masked(secret, encode):
    said = masked(f"the client sent {encode(secret)}!", SECRETS)
    # The padding of base64 shows nothing.
    assert said.replace("=", "") == "the client sent ****!"


def test_a_part_of_a_secret_is_masked():
    secret = "a-client-secret.of-thirty-characters"
    assert masked(f"invalid: {secret[3:27]}...", [secret]) == "invalid: ****..."


def test_words_as_long_as_a_token_are_masked_whoever_made_them():
    assert masked("bad eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ token") == "bad **** token"
    numbered = "AADSTS50034: the account 12345678-90ab-cdef-1234-567890abcdef is unknown"
    assert masked(numbered) == numbered


def test_masked_words_are_one_printable_line_of_bounded_length():
    said = masked("a\x1b[31m\r\nb \u202e" + "word " * 100_000)
    assert said.isprintable()
    assert len(said) <= 303


def test_a_secret_at_the_cut_is_masked_before_the_cut():
    for before in range(280, 310):
        assert "hush" not in masked("x " * (before // 2) + "y" * (before % 2) + "hush-secret", ["hush-secret"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["access_token", "token_type", "expires_in", "refresh_token", "error", "error_description", "scope"]
)
bodies = st.binary(max_size=200) | (json_values | st.dictionaries(names, json_values, max_size=7)).map(
    lambda value: json.dumps(value).encode()
)


@given(
    st.integers(100, 999), bodies, st.dictionaries(st.sampled_from(["retry-after", "location"]), st.text(max_size=30))
)
def test_any_answer_leads_to_a_value(status, body, headers):
    answer = read(status, body, headers, ["hush-secret"])
    assert isinstance(answer, AccessToken | TokenRefused | TokenLater)
    if isinstance(answer, AccessToken):
        assert NOW + 60 <= answer.expires <= NOW + 86400
        assert answer.token.isprintable()
    else:
        assert answer.words.isprintable()
        assert advice(TokenRefused("invalid_grant", answer.words), USERS)


def test_a_body_nested_too_deeply_leads_to_a_value():
    assert isinstance(read(200, b"[" * 60_000), TokenRefused)


MICROSOFT = [
    ("7000215", "must be the value of a secret, not its id"),
    ("7000222", "The client secret has expired"),
    ("700082", "was not used for months"),
    ("90002", "O365_TENANT names no tenant"),
    ("65001", "SMTP.Send"),
]


@pytest.mark.parametrize(("number", "words"), MICROSOFT)
def test_microsofts_numbers_have_advice_of_their_own(number, words):
    grant = type(OWN)(OWN.url, "id", "secret", "", Provider.MICROSOFT)
    assert words in advice(TokenRefused("invalid_client", f"invalid_client: AADSTS{number}: words"), grant)


@pytest.mark.parametrize(
    ("refusal", "grant", "words"),
    [
        (TokenRefused("invalid_client", ""), OWN, "Check SMARTHOST_CLIENT_ID and SMARTHOST_CLIENT_SECRET"),
        (TokenRefused("invalid_grant", ""), USERS, "SMARTHOST_REFRESH_TOKEN"),
        (TokenRefused("invalid_grant", ""), google_refresh_token("a", "b", "c"), "tokens end after 7 days"),
        (TokenRefused("unauthorized_client", ""), ACCOUNT, "domain-wide delegation"),
        (TokenRefused("invalid_grant", "Invalid JWT Signature."), ACCOUNT, "The key was deleted"),
        (TokenRefused("invalid_grant", "Invalid email"), ACCOUNT, "GMAIL_USER is a mailbox"),
        (TokenRefused("invalid_scope", ""), OWN, "SMARTHOST_TOKEN_SCOPE"),
        (TokenRefused("", "the token endpoint answers with status 404"), OWN, "SMARTHOST_TOKEN_URL"),
        (TokenRefused("odd", ""), OWN, "the SMARTHOST_ settings"),
    ],
)
def test_a_refusal_has_advice_that_names_the_setting_or_page(refusal, grant, words):
    said = advice(refusal, grant)
    assert words in said
    assert not said.endswith(".")
