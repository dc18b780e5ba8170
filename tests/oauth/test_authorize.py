"""The flows that end with a refresh token: a device code, and an address that the user pastes."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mta.https.interface import HttpsError
from mta.oauth.authorize import (
    REDIRECT_URL,
    AuthorizeError,
    Consent,
    DeviceClient,
    DeviceCode,
    authorize_device,
    exchange_code,
)
from tests.fakes.https import FakeHttps, answer, token

CLIENT = DeviceClient(
    "https://login.test/devicecode", "https://login.test/token", "hush-id", scope="send offline_access"
)
CODE = {
    "device_code": "hush-device",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://login.test/device",
    "expires_in": 900,
    "interval": 5,
    "message": "To sign in ..",
}
PENDING = answer({"error": "authorization_pending", "error_description": "AADSTS70016: pending"}, 400)


class Flow:
    """One run of a flow; `result` holds its token or failure once it has ended."""

    def __init__(self, *answers: Any, client: DeviceClient = CLIENT) -> None:
        self.clock = Clock()
        self.https = FakeHttps()
        self.https.answers.extend(answers)
        self.shown: list[DeviceCode] = []
        self.result: list[Any] = []
        flow = authorize_device(self.https, self.clock, client, self.shown.append)
        Deferred.fromCoroutine(flow).addBoth(self.result.append)

    def text(self) -> str:
        """Return the words of the failure, without secrets."""
        (failure,) = self.result
        assert isinstance(failure, Failure)
        assert failure.check(AuthorizeError)
        said = failure.getErrorMessage()
        assert "hush" not in said
        assert said.isprintable()
        return said


def test_the_code_is_shown_and_polled_until_the_user_has_agreed():
    flow = Flow(answer(CODE), PENDING, PENDING, token("t", refresh_token="refresh"))
    assert flow.shown == [DeviceCode("hush-device", "WDJB-MJHT", "https://login.test/device", 900, 5)]
    assert flow.https.requests == [
        ("https://login.test/devicecode", {"client_id": "hush-id", "scope": "send offline_access"})
    ]
    flow.clock.pump([5, 5])
    assert flow.result == []
    flow.clock.advance(5)
    assert flow.result == ["refresh"]
    assert flow.https.requests[-1] == (
        "https://login.test/token",
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "client_id": "hush-id",
            "device_code": "hush-device",
        },
    )
    assert "hush" not in repr(flow.shown)


def test_a_confidential_client_shows_its_secret():
    client = DeviceClient(CLIENT.device_url, CLIENT.token_url, "id", "secret", "send")
    flow = Flow(answer(CODE), token("t", refresh_token="refresh"), client=client)
    flow.clock.advance(5)
    assert flow.https.forms[-1]["client_secret"] == "secret"


@pytest.mark.parametrize(
    "slower", [answer({"error": "slow_down"}, 400), answer({}, 503), HttpsError("login.test: lost")]
)
def test_the_endpoint_is_polled_more_slowly_if_it_wishes_or_fails(slower):
    flow = Flow(answer(CODE), slower, token("t", refresh_token="refresh"))
    flow.clock.pump([5, 9])
    assert flow.result == []
    flow.clock.advance(1)
    assert flow.result == ["refresh"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("authorization_declined", "Run the command again, and agree"),
        ("expired_token", "enter the code in time"),
        ("invalid_client", "Allow public client flows"),
        ("bad_verification_code", "bad_verification_code: no hush".replace("hush", "****")),
    ],
)
def test_a_refusal_ends_the_flow_with_advice(error, words):
    flow = Flow(answer(CODE), answer({"error": error, "error_description": "no hush-device"}, 400))
    flow.clock.advance(5)
    assert words in flow.text()


def test_a_code_that_is_not_entered_expires():
    flow = Flow(answer(CODE | {"expires_in": 60}), *[PENDING] * 12)
    flow.clock.pump([5] * 12)
    assert flow.text() == "the code has expired before it was entered: run the command again"
    assert flow.clock.getDelayedCalls() == []


def test_a_token_without_a_refresh_token_is_an_error():
    flow = Flow(answer(CODE), token("t"))
    flow.clock.advance(5)
    assert "no refresh token" in flow.text()


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (HttpsError("login.test: connection refused"), "login.test: connection refused"),
        (answer({"error": "invalid_scope", "error_description": "hush-id wants too much"}, 400), "**** wants too much"),
        (answer({}), "the token endpoint answers with status 200"),
        (answer(CODE | {"user_code": 5}), "the token endpoint answers with status 200"),
        (answer([]), "the token endpoint answers with status 200"),
    ],
)
def test_without_a_device_code_the_flow_ends(first, words):
    flow = Flow(first)
    assert words in flow.text()
    assert flow.shown == []


@given(st.none() | st.integers() | st.floats() | st.text(max_size=5), st.none() | st.integers() | st.floats())
def test_times_of_the_endpoint_are_bounded(life, interval):
    flow = Flow(answer(CODE | {"expires_in": life, "interval": interval}))
    (code,) = flow.shown
    assert 60 <= code.life <= 1800
    assert 1 <= code.interval <= 60


def test_words_of_the_endpoint_that_are_shown_are_printable():
    flow = Flow(answer(CODE | {"user_code": "A\x1b[2J", "verification_uri": "https://x.test/\n\u202e"}))
    (code,) = flow.shown
    assert code.user_code.isprintable()
    assert code.address.isprintable()


CONSENT = Consent("hush-id", "hush-secret", "boss@example.test")


def landed(**fields: str) -> str:
    return f"{REDIRECT_URL}?{urlencode(fields)}"


def test_a_long_address_is_shown_whole():
    address = "https://login.partner.microsoftonline.cn/common/oauth2/deviceauth"
    (code,) = Flow(answer(CODE | {"verification_uri": address})).shown
    assert code.address == address


def test_the_address_for_consent_asks_for_a_refresh_token_with_state_and_pkce():
    parts = urlsplit(CONSENT.address)
    fields = {name: value for name, [value] in parse_qs(parts.query).items()}
    digest = base64.urlsafe_b64encode(hashlib.sha256(CONSENT.verifier.encode()).digest()).decode().rstrip("=")
    assert (parts.netloc, parts.path) == ("accounts.google.com", "/o/oauth2/v2/auth")
    assert fields == {
        "client_id": "hush-id",
        "redirect_uri": REDIRECT_URL,
        "response_type": "code",
        "scope": "https://mail.google.com/",
        "access_type": "offline",
        "prompt": "consent",
        "state": CONSENT.state,
        "code_challenge": digest,
        "code_challenge_method": "S256",
        "login_hint": "boss@example.test",
    }
    assert CONSENT.verifier not in CONSENT.address


def test_state_and_verifier_are_new_each_time_and_not_shown():
    other = Consent("id", "secret")
    assert other.state != CONSENT.state
    assert 43 <= len(other.verifier) <= 128
    for text in (CONSENT.state, CONSENT.verifier, "hush"):
        assert text not in repr(CONSENT)
    assert "login_hint" not in other.address


def test_the_code_is_taken_from_the_pasted_address():
    assert CONSENT.code(f"  {landed(state=CONSENT.state, code='4/abc', scope='x')}\n") == "4/abc"


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        (landed(state="other", code="4/abc"), "belongs to another run"),
        (landed(state="ä", code="4/abc"), "belongs to another run"),
        (landed(code="4/abc"), "this is not the address"),
        (landed(state=CONSENT.state), "this is not the address"),
        (landed(error="access_denied", state=CONSENT.state), "Google says access_denied"),
        ("4/abc", "this is not the address"),
        ("", "this is not the address"),
        ("http://[", "this is not the address"),
    ],
    # The state is random, so that it must not be part of a name: several processes collect the same tests.
    ids=["other-state", "not-ascii", "no-state", "no-code", "refused", "code-alone", "empty", "no-url"],
)
def test_another_address_is_refused(pasted, words):
    with pytest.raises(AuthorizeError, match=words):
        CONSENT.code(pasted)


@given(st.text(max_size=60))
def test_any_pasted_text_is_refused_in_one_line(text):
    with pytest.raises(AuthorizeError) as caught:
        CONSENT.code(f"{REDIRECT_URL}?{text}")
    assert str(caught.value).isprintable()


def exchanged(given_answer: Any) -> Any:
    https = FakeHttps()
    https.answers.append(given_answer)
    results: list[Any] = []
    Deferred.fromCoroutine(exchange_code(https, CONSENT, "4/abc")).addBoth(results.append)
    return https, results[0]


def test_the_code_is_exchanged_with_the_verifier():
    https, result = exchanged(token("t", refresh_token="1//refresh"))
    assert result == "1//refresh"
    assert https.requests == [
        (
            "https://oauth2.googleapis.com/token",
            {
                "grant_type": "authorization_code",
                "client_id": "hush-id",
                "client_secret": "hush-secret",
                "code": "4/abc",
                "code_verifier": CONSENT.verifier,
                "redirect_uri": REDIRECT_URL,
            },
        )
    ]


@pytest.mark.parametrize(
    ("given_answer", "words"),
    [
        (answer({"error": "invalid_grant", "error_description": "hush-secret 4/abc"}, 400), "invalid_grant: **** ****"),
        (HttpsError("oauth2.googleapis.com: no answer within 30 s"), "no answer within 30 s"),
        (token("t"), "no refresh token"),
    ],
)
def test_a_code_that_is_not_exchanged_is_an_error_without_secrets(given_answer, words):
    _, failure = exchanged(given_answer)
    assert failure.check(AuthorizeError)
    assert words in failure.getErrorMessage()
