"""The parts of SCRAM that both sides share: stored secrets, names and SASLprep."""

import base64
import re

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.sasl import scram
from mta.smtp.sasl.saslprep import prepared

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEYS = st.binary(min_size=32, max_size=32)
SECRETS = st.builds(
    scram.ScramSecret,
    salt=st.binary(min_size=1, max_size=40),
    iterations=st.integers(scram.MIN_ITERATIONS, scram.MAX_ITERATIONS),
    stored_key=KEYS,
    server_key=KEYS,
)
# Made by `doveadm pw -s SCRAM-SHA-256 -p pencil` of Dovecot.
DOVECOT = (
    "{SCRAM-SHA-256}4096,UrDbtE1/5lmzcf5oCrGbtg==,olWIfgdoLBj2H0wTnjJdxEa8P7h1X7RZxn3jg6mrsbc=,"
    "Qy7RKOJJHwJCUkpjAY3A3uCyNUcgkKen+Cs/qRxxzHQ="
)


def test_a_secret_of_dovecot_is_the_one_that_is_derived() -> None:
    secret = scram.parse_secret(DOVECOT)
    assert scram.derive("pencil", secret.salt, secret.iterations) == secret
    assert scram.format_secret(secret) == DOVECOT


def test_the_keys_are_those_of_another_implementation() -> None:
    salted = PBKDF2HMAC(SHA256(), 32, SALT, 5000).derive(b"pencil")
    assert scram.salted_password("pencil", SALT, 5000) == salted
    secret = scram.derive("pencil", SALT, 5000)
    assert secret.server_key == scram.signature(salted, b"Server Key")
    assert secret.iterations == 5000


def test_a_new_secret_has_the_least_number_of_iterations() -> None:
    assert scram.derive("pencil", SALT).iterations == 4096


@given(secret=SECRETS)
@settings(max_examples=50)
def test_a_secret_survives_its_text(secret: scram.ScramSecret) -> None:
    text = scram.format_secret(secret)
    assert re.fullmatch(r"\{SCRAM-SHA-256\}[0-9]+(,[A-Za-z0-9+/=]+){3}", text)
    assert scram.parse_secret(text) == secret
    assert scram.parse_secret(text.replace("SCRAM-SHA", "scram-sha")) == secret
    assert scram.parse_secret(text.partition("}")[2]) == secret


def test_a_secret_does_not_show_in_its_repr() -> None:
    assert repr(scram.derive("pencil", SALT)) == "ScramSecret(iterations=4096)"


KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it must be iterations,salt"),
        (f"4096,c2FsdA==,{KEY}", "it must be"),
        (f"4096,c2FsdA==,{KEY},{KEY},x", "it must be"),
        (f"{{SCRAM-SHA-1}}4096,c2FsdA==,{KEY},{KEY}", "number of iterations"),
        (f"4095,c2FsdA==,{KEY},{KEY}", "from 4096 to 1000000"),
        (f"1000001,c2FsdA==,{KEY},{KEY}", "from 4096"),
        (f"{'9' * 5000},c2FsdA==,{KEY},{KEY}", "from 4096"),
        (f"04096,c2FsdA==,{KEY},{KEY}", "from 4096"),
        (f"+4096,c2FsdA==,{KEY},{KEY}", "from 4096"),
        (f"\uff14\uff10\uff19\uff16,c2FsdA==,{KEY},{KEY}", "from 4096"),
        (f"4096,,{KEY},{KEY}", "salt is empty"),
        (f"4096,{'c2Fs' * 400},{KEY},{KEY}", "too long"),
        (f"4096,c2FsdA=,{KEY},{KEY}", "not base64"),
        (f"4096,c2F\u017fdA==,{KEY},{KEY}", "not base64"),
        (f"4096,c2FsdA==,c2FsdA==,{KEY}", "32 octets"),
        (f"4096,c2FsdA==,{KEY},c2FsdA==", "32 octets"),
    ],
)
def test_a_malformed_secret_is_refused_without_showing_it(text: str, words: str) -> None:
    with pytest.raises(scram.ScramError, match=words) as caught:
        scram.parse_secret(text)
    assert KEY not in str(caught.value)


@given(name=TEXT)
def test_a_name_survives_its_escapes(name: str) -> None:
    escaped = scram.escape_name(name)
    assert "," not in escaped
    assert scram.unescape_name(escaped) == name


@pytest.mark.parametrize("text", ["=", "a=2", "=2c", "=3d", "=41", "==3D"])
def test_other_escapes_are_refused(text: str) -> None:
    with pytest.raises(scram.ScramError):
        scram.unescape_name(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 4013 section 3; the last two examples, which it prohibits, stay as they are.
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", "\u0007"),
        ("\u0627\u0031", "\u0627\u0031"),
        # A space of another kind, a ligature, a letter in two forms, and a word from right to left.
        ("a\u00a0b\u1680c", "a b c"),
        ("\ufb01", "fi"),
        ("u\u0308\u00ad", "\u00fc"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\u0627a\u0628", "\u0627a\u0628"),
        # Nothing is left, a control character beside a ligature, and a character newer than Unicode 3.2.
        ("\u00ad", ""),
        ("\ufb01\u0007", "\ufb01\u0007"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_saslprep_gives_the_forms_of_rfc_4013(text: str, expected: str) -> None:
    assert prepared(text) == expected


@given(text=TEXT)
def test_a_prepared_text_is_its_own_preparation(text: str) -> None:
    assert prepared(prepared(text)) == prepared(text)
    assert not text.isascii() or prepared(text) == text


def test_passwords_that_look_alike_have_one_secret() -> None:
    assert scram.derive("gr\u00fcn", SALT) == scram.derive("gru\u0308n", SALT)
