"""Secrets: those of other programs and our own, right and wrong passwords, and errors without secrets."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.sasl.scram import ScramSecret
from mta.users import argon2, secrets
from mta.users.crypt import libcrypt
from mta.users.crypt_strings import SecretError
from mta.users.secrets import (
    MAX_OCTETS,
    NEW_SCHEMES,
    PlainSecret,
    default_scheme,
    missing_support,
    new_secret,
    read_secret,
    scheme_of,
    stored_octets,
    verify,
)
from tests.users.made_secrets import ARGON2, BCRYPT, MADE, PASSWORD, SCRAM, SHA512, TOO_WEAK

needs_libcrypt = pytest.mark.skipif(libcrypt() is None, reason="this system has no libxcrypt")
needs_argon2 = pytest.mark.skipif(not argon2.is_available(), reason="cryptography has no argon2id")
ALL = [*MADE.values(), (ARGON2, "argon2id"), (f"{{PLAIN}}{PASSWORD}", "plain")]


def problem(text):
    with pytest.raises(SecretError) as caught:
        read_secret(text)
    return str(caught.value)


@needs_argon2
@needs_libcrypt
@pytest.mark.parametrize(("text", "scheme"), ALL)
def test_a_secret_knows_its_password(text, scheme):
    secret = read_secret(text)
    assert scheme_of(secret) == scheme
    assert missing_support(secret) == ""
    assert verify(secret, PASSWORD)
    assert not verify(secret, PASSWORD + " ")
    assert not verify(secret, "")
    assert not verify(secret, PASSWORD + "\0")
    assert not verify(secret, "x" * 600)
    assert not verify(secret, "x" * (MAX_OCTETS + 1))
    assert not verify(secret, "\ud800")


@pytest.mark.parametrize(("text", "scheme"), ALL)
def test_the_text_of_a_secret_shows_no_part_of_it(text, scheme):
    secret = read_secret(text)
    assert text[-10:] not in repr(secret)
    assert PASSWORD not in repr(secret)
    assert stored_octets(secret).decode().endswith(text[-10:])


@needs_argon2
@needs_libcrypt
@pytest.mark.parametrize("scheme", NEW_SCHEMES)
@pytest.mark.parametrize("password", ["correct horse", "Grüße", "\udcfcber"])
def test_a_new_secret_is_read_back_and_knows_its_password(scheme, password):
    text = new_secret(scheme, password)
    secret = read_secret(text)
    assert scheme_of(secret) == scheme
    assert verify(secret, password)
    assert not verify(secret, password[:-1])
    assert text != new_secret(scheme, password)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hunter2", "{PLAIN}"),
        ("", "{PLAIN}"),
        ("{PLAIN}", "empty"),
        ("{MD5}hunter2hunter2", "{SHA512-CRYPT}"),
        ("{hunter2}", "{SHA512-CRYPT}"),
        ("{hunter2", "{SHA512-CRYPT}"),
        (f"{{SHA512-CRYPT}}{BCRYPT}", "$6$"),
        (f"{{BLF-CRYPT}}{SHA512}", "$2"),
        ("{CRYPT}hunter2", "$"),
        (f"{{ARGON2ID}}{BCRYPT}", "not well formed"),
        ("$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$u/SsfP5LytnfIgVbxFHe7Q", "argon2id"),
        (ARGON2.replace("m=64", "m=262145"), "m=262145"),
        (ARGON2.replace("m=64,t=1", "m=262144,t=5"), "m times t"),
        (ARGON2.replace("m=64", "m=7"), "m=7"),
        (ARGON2.replace("p=1", "p=17"), "p=17"),
        (ARGON2.replace("t=1", "t=0"), "t=0"),
        (ARGON2 + "=", "not well formed"),
        (ARGON2.replace("c2Fs", "c2Fsc"), "not well formed"),
        (SCRAM.replace("4096", "4095"), "4096"),
        (SCRAM.replace("4096", "1000001"), "1000000"),
        (SCRAM[:-2], "SCRAM secret cannot be used"),
        *((text, "htpasswd -B") for text in TOO_WEAK),
    ],
)
def test_a_mistake_is_told_without_the_secret(text, words):
    told = problem(text)
    assert words in told
    assert "hunter2" not in told
    assert len(text) < 20 or text[-12:] not in told


@needs_argon2
def test_argon2_costs_up_to_the_bounds_are_read():
    assert read_secret(ARGON2.replace("m=64,t=1", "m=262144,t=4")).passes == 4
    assert read_secret(ARGON2.replace("p=1", "p=8")).lanes == 8


def test_prefixes_are_read_in_any_case():
    assert read_secret("{plain}x") == PlainSecret("x")
    assert isinstance(read_secret(SCRAM.replace("{SCRAM-SHA-256}", "{Scram-Sha-256}")), ScramSecret)


@needs_libcrypt
def test_a_password_that_bcrypt_would_cut_makes_no_new_secret():
    with pytest.raises(SecretError, match="72 octets"):
        new_secret("bcrypt", "x" * 73)
    with pytest.raises(SecretError, match="511"):
        new_secret("yescrypt", "x" * 512)
    for password in ("", "a\0b", "x" * (MAX_OCTETS + 1)):
        with pytest.raises(SecretError, match="1 to 1024 octets"):
            new_secret("argon2id", password)


def test_a_system_without_argon2id_says_so_and_makes_bcrypt(monkeypatch):
    monkeypatch.setattr(argon2, "is_available", lambda: False)
    assert "cryptography 44" in missing_support(read_secret(ARGON2))
    assert default_scheme() == ("bcrypt" if libcrypt() else "scram-sha-256")
    with pytest.raises(SecretError, match="cryptography 44"):
        new_secret("argon2id", PASSWORD)


def test_a_system_without_libxcrypt_says_so(monkeypatch):
    monkeypatch.setattr(secrets, "libcrypt", lambda: None)
    assert "libxcrypt" in missing_support(read_secret(BCRYPT))
    assert missing_support(read_secret(SCRAM)) == ""
    with pytest.raises(secrets.CheckUnavailable):
        verify(read_secret(BCRYPT), PASSWORD)
    with pytest.raises(SecretError, match="libxcrypt"):
        new_secret("bcrypt", PASSWORD)
    monkeypatch.setattr(argon2, "is_available", lambda: False)
    assert default_scheme() == "scram-sha-256"


@given(
    st.text(max_size=100)
    | st.builds("{}{}".format, st.sampled_from(["{CRYPT}", "{SCRAM-SHA-256}", "$argon2id$"]), st.text())
)
def test_any_text_is_read_or_refused_in_words(text):
    told = ""
    try:
        read_secret(text)
    except SecretError as error:
        told = str(error)
    assert len(text) < 30 or text not in told


COMMANDS = {
    "htpasswd": ["htpasswd", "-nbB", "alice", PASSWORD],
    "openssl": ["openssl", "passwd", "-6", PASSWORD],
    "mkpasswd": ["mkpasswd", "-m", "yescrypt", PASSWORD],
    "doveadm": ["doveadm", "pw", "-s", "ARGON2ID", "-p", PASSWORD],
    "doveadm scram": ["doveadm", "pw", "-s", "SCRAM-SHA-256", "-p", PASSWORD],
}


@needs_argon2
@needs_libcrypt
@pytest.mark.parametrize("command", COMMANDS)
def test_secrets_that_programs_make_now_know_their_password(command):
    if shutil.which(COMMANDS[command][0]) is None:
        pytest.skip(f"{COMMANDS[command][0]} is not installed")
    made = subprocess.run(COMMANDS[command], capture_output=True, text=True, check=True).stdout.split()[0]
    assert verify(read_secret(made.removeprefix("alice:")), PASSWORD)
