"""The login mechanisms of the client without SCRAM, and the choice between all of them."""

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.sasl import mechanisms as sasl
from mta.smtp.sasl.interface import Mechanism, SaslError
from mta.smtp.sasl.logins import CertificateLogin, ChannelBinding, Login, PasswordLogin, TokenLogin, secrets_of

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
PASSWORD = PasswordLogin("u", "p")
TOKEN = TokenLogin("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
CERTIFICATE = CertificateLogin()
BINDING = ChannelBinding("tls-exporter", b"x" * 32)
PASSWORD_NAMES = ["LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]
EVERYTHING = [*PASSWORD_NAMES, "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "GSSAPI"]


def digest(password: str, challenge: bytes) -> str:
    """Return what a server expects."""
    return hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()


def test_cram_md5_gives_the_digest_of_rfc_2195() -> None:
    mechanism = sasl.CramMd5(PasswordLogin("tim", "tanstaaftanstaaf"))
    response = mechanism.respond(b"<1896.697170952@postoffice.reston.mci.net>")
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"


@given(user=TEXT, password=TEXT)
@settings(max_examples=60)
def test_plain_carries_any_user_and_password(user: str, password: str) -> None:
    message = sasl.Plain(PasswordLogin(user, password)).initial
    assert message is not None
    assert message.decode().split("\0") == ["", user, password]


@given(user=TEXT, password=TEXT, challenge=st.binary(max_size=40))
@settings(max_examples=60)
def test_cram_md5_proves_the_whole_password(user: str, password: str, challenge: bytes) -> None:
    mechanism = sasl.CramMd5(PasswordLogin(user, password))
    name, _, proof = mechanism.respond(challenge).decode().rpartition(" ")
    assert name == user
    assert proof == digest(password, challenge)
    assert proof != digest(password + "x", challenge)


def test_cram_md5_does_not_stop_at_a_colon() -> None:
    mechanism = sasl.CramMd5(PasswordLogin("u", "before:after"))
    assert mechanism.respond(b"c") == f"u {digest('before:after', b'c')}".encode()


def test_login_gives_the_user_then_the_password_then_an_error() -> None:
    mechanism = sasl.LoginMechanism(PasswordLogin("u^$#", 'p"\\%&/ :x'))
    assert mechanism.initial is None
    assert mechanism.respond(b"Username:") == b"u^$#"
    assert mechanism.respond(b"anything") == b'p"\\%&/ :x'
    with pytest.raises(SaslError):
        mechanism.respond(b"again")


def test_oauthbearer_sends_the_message_of_rfc_7628() -> None:
    mechanism = sasl.OAuthBearer(TOKEN)
    expected = b"n,a=user@example.com,\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"
    assert mechanism.initial == expected


@pytest.mark.parametrize(("user", "header"), [("a,b=c", b"n,a=a=2Cb=3Dc,"), ("", b"n,,"), ("ü", "n,a=ü,".encode())])
def test_oauthbearer_escapes_the_user(user: str, header: bytes) -> None:
    assert sasl.OAuthBearer(TokenLogin(user, "t")).initial == header + b"\1auth=Bearer t\1\1"


def test_xoauth2_sends_the_message_of_google_and_microsoft() -> None:
    # The example of Google's and Microsoft's documents.
    mechanism = sasl.XOAuth2(TokenLogin("test@contoso.onmicrosoft.com", "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA"))
    assert mechanism.initial is not None
    assert base64.b64encode(mechanism.initial) == (
        b"dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJD"
        b"M0VvQUEBAQ=="
    )


RFC_7628_FAILURE = base64.b64decode(
    "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4"
    "YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0="
)


@pytest.mark.parametrize(("kind", "answer"), [(sasl.OAuthBearer, b"\1"), (sasl.XOAuth2, b"")])
def test_the_refusal_of_a_token_is_answered_and_its_reason_is_kept(
    kind: type[sasl.OAuthBearer | sasl.XOAuth2], answer: bytes
) -> None:
    mechanism = kind(TOKEN)
    assert mechanism.failure == ""
    assert mechanism.respond(RFC_7628_FAILURE) == answer
    assert mechanism.failure == "status invalid_token, scope example_scope"
    with pytest.raises(SaslError, match="one challenge"):
        mechanism.respond(RFC_7628_FAILURE)


@given(
    challenge=st.binary(max_size=300) | st.recursive(st.text() | st.none(), st.lists).map(json.dumps).map(str.encode)
)
@settings(max_examples=100)
def test_any_refusal_of_a_token_gives_a_short_printable_reason(challenge: bytes) -> None:
    mechanism = sasl.XOAuth2(TOKEN)
    assert mechanism.respond(challenge) == b""
    assert mechanism.failure.isascii()
    assert mechanism.failure.isprintable()
    assert 0 < len(mechanism.failure) <= 100


@pytest.mark.parametrize("status", ['"\\u001b[0m\\r\\nx"', '"' + "4" * 1000 + '"', "[]", "1e999", "[" * 100_000])
def test_a_strange_status_is_made_harmless(status: str) -> None:
    mechanism = sasl.OAuthBearer(TOKEN)
    assert mechanism.respond(f'{{"status": {status}}}'.encode()) == b"\1"
    assert mechanism.failure.isprintable()
    assert len(mechanism.failure) <= 100


@pytest.mark.parametrize(("user", "initial"), [("", b""), ("relay@example.org", b"relay@example.org")])
def test_external_names_the_user_only_if_there_is_one(user: str, initial: bytes) -> None:
    assert sasl.External(CertificateLogin(user)).initial == initial


@pytest.mark.parametrize("mechanism", [sasl.Plain(PASSWORD), sasl.CramMd5(PASSWORD), sasl.External(CERTIFICATE)])
def test_a_challenge_too_many_is_refused(mechanism: Mechanism) -> None:
    with pytest.raises(SaslError):
        [mechanism.respond(b"x") for _ in range(2)]


@pytest.mark.parametrize(
    ("offered", "login", "in_clear", "names"),
    [
        (["LOGIN", "PLAIN", "CRAM-MD5"], PASSWORD, False, ["CRAM-MD5", "PLAIN", "LOGIN"]),
        (["login", "Plain"], PASSWORD, False, ["PLAIN", "LOGIN"]),
        (["LOGIN", "PLAIN", "CRAM-MD5"], PASSWORD, True, ["CRAM-MD5"]),
        (["PLAIN"], PASSWORD, True, []),
        (["XOAUTH2", "GSSAPI", "EXTERNAL"], PASSWORD, False, []),
        (EVERYTHING, PASSWORD, False, ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"]),
        (EVERYTHING, PASSWORD, True, ["SCRAM-SHA-256", "CRAM-MD5"]),
        (["SCRAM-SHA-256-PLUS"], PASSWORD, False, []),
        (EVERYTHING, TOKEN, False, ["OAUTHBEARER", "XOAUTH2"]),
        (["xoauth2", "LOGIN", "PLAIN"], TOKEN, False, ["XOAUTH2"]),
        (["LOGIN", "PLAIN", "SCRAM-SHA-256"], TOKEN, False, []),
        (EVERYTHING, TOKEN, True, []),
        (EVERYTHING, CERTIFICATE, False, ["EXTERNAL"]),
        (EVERYTHING, CERTIFICATE, True, []),
        (["PLAIN", "XOAUTH2"], CERTIFICATE, False, []),
    ],
)
def test_mechanisms_are_tried_from_best_to_worst(
    offered: list[str], login: Login, in_clear: bool, names: list[str]
) -> None:
    chosen = sasl.choose(offered, login, in_clear=in_clear, binding=None)
    assert [mechanism.name for mechanism in chosen] == names


def test_a_server_that_offers_plus_gets_no_weaker_mechanism() -> None:
    chosen = sasl.choose(EVERYTHING, PASSWORD, in_clear=False, binding=BINDING)
    assert [mechanism.name for mechanism in chosen] == ["SCRAM-SHA-256-PLUS"]


@pytest.mark.parametrize(("binding", "header"), [(None, b"n,,"), (BINDING, b"y,,")])
def test_a_server_without_plus_is_told_whether_the_client_could_have_used_it(
    binding: ChannelBinding | None, header: bytes
) -> None:
    first, *_ = sasl.choose(["SCRAM-SHA-256", "PLAIN"], PASSWORD, in_clear=False, binding=binding)
    assert first.initial is not None
    assert first.initial.startswith(header + b"n=u,r=")


@pytest.mark.parametrize("login", [PasswordLogin("the-user", "s3cret"), TokenLogin("the-user", "s3cret")])
def test_secrets_of_a_login_are_known_and_do_not_show_in_its_repr(login: PasswordLogin | TokenLogin) -> None:
    assert secrets_of(login) == ("the-user", "s3cret")
    assert "s3cret" not in repr(login)
    assert "the-user" not in repr(login)
    assert b"x" * 32 not in repr(BINDING).encode()
