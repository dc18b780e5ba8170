"""The server's side of PLAIN, LOGIN and SCRAM, against the client's side and against malformed input."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.replies import reply
from mta.smtp.sasl import scram
from mta.smtp.sasl.logins import ChannelBinding, PasswordLogin
from mta.smtp.sasl.scram import ScramSecret
from mta.smtp.sasl.scram_client import ScramClient
from mta.smtp.sasl.server import (
    MAX_PASSWORD,
    MAX_USER,
    Challenge,
    ExchangeFailed,
    ExchangeFailure,
    LoggedIn,
    PasswordGiven,
    ServerExchange,
    Step,
    start,
)

BINDING = ChannelBinding("tls-exporter", b"x" * 32)
SECRET = scram.derive("pencil", b"salt of sixteen.")
MADE_UP = ScramSecret(b"salt that is not", 4096, b"s" * 32, b"v" * 32)
MALFORMED, WRONG = ExchangeFailure.MALFORMED, ExchangeFailure.WRONG


def secret_of(user: str) -> ScramSecret:
    return SECRET if user in ("user", "a=b,c", "j\u00fcrgen") else MADE_UP


def begin(
    mechanism: str, binding: ChannelBinding | None = None, secret: Callable[[str], ScramSecret] = secret_of
) -> ServerExchange:
    return start(mechanism, secret_of=secret, binding=binding, nonce="server-nonce")


def kind(step: Step) -> ExchangeFailure:
    assert isinstance(step, ExchangeFailed)
    return step.kind


def test_plain_gives_the_password_at_once_or_after_an_empty_challenge() -> None:
    assert begin("PLAIN").respond(b"\0user\0pencil") == PasswordGiven("user", "pencil")
    exchange = begin("PLAIN")
    assert exchange.respond(None) == Challenge(b"")
    assert exchange.respond(b"user\0user\0pencil") == PasswordGiven("user", "pencil")


def test_a_user_may_act_for_nobody_else() -> None:
    step = begin("PLAIN").respond(b"other\0user\0pencil")
    assert step == ExchangeFailed(WRONG, "user")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"user",
        b"user\0pencil",
        b"\0user\0",
        b"\0\0pencil",
        b"\0user\0pen\0cil",
        b"\0" + b"u" * (MAX_USER + 1) + b"\0p",
        b"\0user\0" + b"p" * (MAX_PASSWORD + 1),
    ],
)
def test_plain_of_another_form_is_malformed(response: bytes) -> None:
    assert kind(begin("PLAIN").respond(response)) is MALFORMED


def test_login_asks_for_user_and_password() -> None:
    exchange = begin("LOGIN")
    assert exchange.respond(None) == Challenge(b"Username:")
    assert exchange.respond(b"user") == Challenge(b"Password:")
    assert exchange.respond(b"pencil") == PasswordGiven("user", "pencil")


def test_login_takes_the_user_with_the_command() -> None:
    exchange = begin("LOGIN")
    assert exchange.respond(b"user") == Challenge(b"Password:")
    assert exchange.respond(b"pencil") == PasswordGiven("user", "pencil")


@pytest.mark.parametrize("responses", [[b""], [b"u" * 256], [b"a\0b"], [b"user", b""], [b"user", b"p" * 1025]])
def test_login_of_another_form_is_malformed(responses: list[bytes]) -> None:
    exchange = begin("LOGIN")
    steps = [exchange.respond(response) for response in responses]
    assert kind(steps[-1]) is MALFORMED


@pytest.mark.parametrize("octets", [b"p\xe4ss", "p\u00e4ss".encode()])
def test_a_password_in_any_character_set_is_the_octets_that_were_sent(octets: bytes) -> None:
    step = begin("PLAIN").respond(b"\0user\0" + octets)
    assert isinstance(step, PasswordGiven)
    assert step.password.encode(errors="surrogateescape") == octets


def converse(client: ScramClient, exchange: ServerExchange) -> Step:
    step = exchange.respond(client.initial)
    while isinstance(step, Challenge):
        step = exchange.respond(client.respond(step.data))
    return step


@pytest.mark.parametrize("user", ["user", "a=b,c", "j\u00fcrgen"])
@pytest.mark.parametrize(
    ("mechanism", "offered", "used"),
    [
        (scram.NAME, None, None),
        (scram.NAME, None, BINDING),
        (scram.NAME, BINDING, None),
        (scram.PLUS_NAME, BINDING, BINDING),
    ],
)
def test_scram_proves_both_sides_to_each_other(
    user: str, mechanism: str, offered: ChannelBinding | None, used: ChannelBinding | None
) -> None:
    client = ScramClient(PasswordLogin(user, "pencil"), used, plus=mechanism == scram.PLUS_NAME)
    assert converse(client, begin(mechanism, offered)) == LoggedIn(user)
    assert client.complete


def test_scram_asks_for_the_first_message_if_it_did_not_come_with_the_command() -> None:
    exchange = begin(scram.NAME)
    assert exchange.respond(None) == Challenge(b"")
    assert converse(ScramClient(PasswordLogin("user", "pencil")), exchange) == LoggedIn("user")


@pytest.mark.parametrize(
    ("user", "password"), [("user", "pen"), ("nobody", "pencil"), ("", "pencil"), ("User", "pencil")]
)
def test_scram_refuses_a_wrong_password_and_an_unknown_user(user: str, password: str) -> None:
    step = converse(ScramClient(PasswordLogin(user, password)), begin(scram.NAME))
    assert isinstance(step, ExchangeFailed)


def test_a_client_that_did_not_see_plus_in_the_offer_is_refused() -> None:
    client = ScramClient(PasswordLogin("user", "pencil"), BINDING)
    assert client.initial is not None
    assert client.initial.startswith(b"y,")
    assert converse(client, begin(scram.NAME, BINDING)) == ExchangeFailed(WRONG, "user")


@pytest.mark.parametrize("other", [ChannelBinding("tls-exporter", b"y" * 32), ChannelBinding("tls-unique", b"x" * 32)])
def test_a_login_that_is_bound_to_another_connection_is_refused(other: ChannelBinding) -> None:
    client = ScramClient(PasswordLogin("user", "pencil"), other, plus=True)
    assert converse(client, begin(scram.PLUS_NAME, BINDING)) == ExchangeFailed(WRONG, "user")


@pytest.mark.parametrize("flag", [b"n", b"y"])
def test_plus_without_a_binding_of_the_client_is_refused(flag: bytes) -> None:
    assert kind(begin(scram.PLUS_NAME, BINDING).respond(flag + b",,n=user,r=abc")) is WRONG


def test_a_binding_without_plus_is_refused() -> None:
    assert kind(begin(scram.NAME, BINDING).respond(b"p=tls-exporter,,n=user,r=abc")) is WRONG


def test_plus_is_not_there_without_a_binding() -> None:
    with pytest.raises(ValueError, match="PLUS"):
        begin(scram.PLUS_NAME)
    with pytest.raises(ValueError, match="CRAM-MD5"):
        begin("CRAM-MD5")


@pytest.mark.parametrize(("acting_for", "wanted"), [(b"user", Challenge), (b"", Challenge), (b"other", ExchangeFailed)])
def test_a_scram_user_may_act_for_nobody_else(acting_for: bytes, wanted: type) -> None:
    assert type(begin(scram.NAME).respond(b"n,a=" + acting_for + b",n=user,r=abc")) is wanted


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"n,,n=user,r=",
        b"n,,n=,r=abc",
        b"n,,r=abc,n=user",
        b"n,,m=ext,n=user,r=abc",
        b"q,,n=user,r=abc",
        b"n,x,n=user,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=user,r=a\xc3\xa4",
        b"n,,n=\xff,r=abc",
        b"n,,n=us\0er,r=abc",
        b"n,,n=" + b"u" * 256 + b",r=abc",
        b"n,,n=user,r=" + b"r" * 129,
        b"p=" + b"t" * 33 + b",,n=user,r=abc",
    ],
)
def test_a_first_message_of_another_form_is_malformed(message: bytes) -> None:
    assert kind(begin(scram.NAME).respond(message)) is MALFORMED


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        (b"", MALFORMED),
        (b"c=biws,r=abcserver-nonce", MALFORMED),
        (b"c=biws,r=abcserver-nonce,p=", MALFORMED),
        (b"c=biws,r=abcserver-nonce,p=AAAA", MALFORMED),
        (b"c=biws,r=abcserver-nonce,p=not base64", MALFORMED),
        (b"c=,r=abcserver-nonce,p=" + b"A" * 43 + b"=", WRONG),
        (b"c=biws,r=abcserver-nonce,p=" + b"A" * 43 + b"=", WRONG),
        (b"c=biws,r=another,p=" + b"A" * 43 + b"=", WRONG),
        (b"\xff", MALFORMED),
    ],
)
def test_a_final_message_of_another_form_fails(message: bytes, failure: ExchangeFailure) -> None:
    exchange = begin(scram.NAME)
    assert exchange.respond(b"n,,n=user,r=abc") == Challenge(
        f"r=abcserver-nonce,s={scram.encode(SECRET.salt)},i=4096".encode()
    )
    step = exchange.respond(message)
    assert kind(step) is failure
    assert isinstance(step, ExchangeFailed)
    assert step.user == "user"


def test_the_last_response_of_scram_is_empty() -> None:
    client, exchange = ScramClient(PasswordLogin("user", "pencil")), begin(scram.NAME)
    first = exchange.respond(client.initial)
    assert isinstance(first, Challenge)
    verdict = exchange.respond(client.respond(first.data))
    assert isinstance(verdict, Challenge)
    assert verdict.data.startswith(b"v=")
    assert kind(exchange.respond(b"x")) is MALFORMED


def test_the_example_of_rfc_7677_section_3() -> None:
    salt = scram.decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    secret = scram.derive("pencil", salt)
    exchange = start(scram.NAME, secret_of=lambda _: secret, binding=None, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    assert exchange.respond(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert exchange.respond(final) == Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert exchange.respond(b"") == LoggedIn("user")


def test_no_step_shows_a_password_or_what_may_be_one() -> None:
    steps = (PasswordGiven("secret", "secret"), ExchangeFailed(WRONG, "secret"))
    assert "secret" not in repr(steps)


MESSAGES = st.one_of(st.binary(max_size=60), st.text("np=,ar cbi0\0", max_size=30).map(str.encode))


@given(st.sampled_from(["PLAIN", "LOGIN", scram.NAME, scram.PLUS_NAME]), st.lists(MESSAGES, min_size=1, max_size=4))
def test_no_input_makes_an_exchange_raise_or_log_in(mechanism: str, messages: list[bytes]) -> None:
    exchange = begin(mechanism, BINDING, lambda _: MADE_UP)
    for message in messages:
        step = exchange.respond(message)
        assert not isinstance(step, LoggedIn)
        if not isinstance(step, Challenge):
            return


def test_the_longest_challenge_fits_a_reply_line() -> None:
    secret = scram.parse_secret(
        scram.format_secret(ScramSecret(b"s" * 128, scram.MAX_ITERATIONS, b"k" * 32, b"k" * 32))
    )
    exchange = start(scram.NAME, secret_of=lambda _: secret, binding=None, nonce="n" * 24)
    challenge = exchange.respond(b"n,,n=user,r=" + b"r" * 128)
    assert isinstance(challenge, Challenge)
    text = scram.encode(challenge.data)
    assert reply(334, "", text).wire == f"334 {text}\r\n".encode()
