"""The login mechanisms of the client."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp import sasl

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


def digest(password: str, challenge: bytes) -> str:
    """Return what a server expects."""
    return hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()


def test_cram_md5_gives_the_digest_of_rfc_2195() -> None:
    mechanism = sasl.CramMd5("tim", "tanstaaftanstaaf")
    response = mechanism.respond(b"<1896.697170952@postoffice.reston.mci.net>")
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"


@given(user=TEXT, password=TEXT)
@settings(max_examples=60)
def test_plain_carries_any_user_and_password(user: str, password: str) -> None:
    message = sasl.Plain(user, password).initial
    assert message is not None
    assert message.decode().split("\0") == ["", user, password]


@given(user=TEXT, password=TEXT, challenge=st.binary(max_size=40))
@settings(max_examples=60)
def test_cram_md5_proves_the_whole_password(user: str, password: str, challenge: bytes) -> None:
    name, _, proof = sasl.CramMd5(user, password).respond(challenge).decode().rpartition(" ")
    assert name == user
    assert proof == digest(password, challenge)
    assert proof != digest(password + "x", challenge)


def test_cram_md5_does_not_stop_at_a_colon() -> None:
    assert sasl.CramMd5("u", "before:after").respond(b"c") == f"u {digest('before:after', b'c')}".encode()


def test_login_gives_the_user_then_the_password_then_an_error() -> None:
    mechanism = sasl.LoginMechanism("u^$#", 'p"\\%&/ :x')
    assert mechanism.initial is None
    assert mechanism.respond(b"Username:") == b"u^$#"
    assert mechanism.respond(b"anything") == b'p"\\%&/ :x'
    with pytest.raises(sasl.SaslError):
        mechanism.respond(b"again")


@pytest.mark.parametrize("mechanism", [sasl.Plain("u", "p"), sasl.CramMd5("u", "p")])
def test_a_challenge_too_many_is_refused(mechanism: sasl.Mechanism) -> None:
    with pytest.raises(sasl.SaslError):
        [mechanism.respond(b"x") for _ in range(2)]


@pytest.mark.parametrize(
    ("offered", "in_clear", "names"),
    [
        (["LOGIN", "PLAIN", "CRAM-MD5"], False, ["CRAM-MD5", "PLAIN", "LOGIN"]),
        (["login", "Plain"], False, ["PLAIN", "LOGIN"]),
        (["LOGIN", "PLAIN", "CRAM-MD5"], True, ["CRAM-MD5"]),
        (["PLAIN"], True, []),
        (["XOAUTH2", "GSSAPI"], False, []),
    ],
)
def test_mechanisms_are_tried_from_best_to_worst(offered: list[str], in_clear: bool, names: list[str]) -> None:
    assert [mechanism.name for mechanism in sasl.choose(offered, "u", "p", in_clear=in_clear)] == names
