"""The client's mechanisms with Dovecot as the server."""

from collections.abc import Iterator

import pytest

from mta.smtp.sasl import scram
from mta.smtp.sasl.logins import ChannelBinding, Login, PasswordLogin, TokenLogin
from mta.smtp.sasl.mechanisms import choose
from tests.programs.dovecot import why_not
from tests.programs.dovecot_auth import DovecotAuth, signed_token

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
PASSWORD, WRONG = PasswordLogin("scram", "pencil"), PasswordLogin("scram", "pen")
EXPORTER = ChannelBinding("tls-exporter", bytes(32))


@pytest.fixture(scope="module")
def dovecot() -> Iterator[DovecotAuth]:
    secret = scram.format_secret(scram.derive("pencil", b"salt of the test"))
    with DovecotAuth(scram=secret, plain="{PLAIN}pencil") as running:
        yield running


@pytest.mark.parametrize("binding", [None, EXPORTER])
def test_scram_logs_in_whether_or_not_the_client_could_bind(
    dovecot: DovecotAuth, binding: ChannelBinding | None
) -> None:
    (mechanism,) = choose(["SCRAM-SHA-256"], PASSWORD, in_clear=False, binding=binding)
    assert dovecot.log_in(mechanism)
    assert mechanism.complete


def test_scram_fails_with_a_wrong_password(dovecot: DovecotAuth) -> None:
    (mechanism,) = choose(["SCRAM-SHA-256"], WRONG, in_clear=False, binding=None)
    assert not dovecot.log_in(mechanism)
    assert not mechanism.complete


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_each_mechanism_for_passwords_logs_in(dovecot: DovecotAuth, name: str) -> None:
    for password in ("pencil", "pen"):
        (mechanism,) = choose([name], PasswordLogin("plain", password), in_clear=False, binding=None)
        assert dovecot.log_in(mechanism) == (password == "pencil")


@pytest.mark.parametrize(
    ("name", "reason"), [("OAUTHBEARER", "status invalid_token"), ("XOAUTH2", "status 401, scope mail")]
)
def test_a_token_logs_in_and_a_refused_one_gives_the_reason(dovecot: DovecotAuth, name: str, reason: str) -> None:
    def attempt(login: Login) -> tuple[bool, str]:
        (mechanism,) = choose([name], login, in_clear=False, binding=None)
        return dovecot.log_in(mechanism), mechanism.failure

    assert attempt(TokenLogin("me@x.test", signed_token("me@x.test"))) == (True, "")
    assert attempt(TokenLogin("me@x.test", "no-token")) == (False, reason)
