"""Crypt strings: the methods that are read, the bounds of their costs, and errors that show no part of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.users.crypt_strings import MAX_BCRYPT_COST, MAX_SHA_ROUNDS, SecretError, read_crypt_string
from tests.users.made_secrets import BCRYPT, MADE, SHA512, TOO_WEAK

CRYPT = {command: made for command, made in MADE.items() if made[0].startswith("$")}
SCRYPT, YESCRYPT = MADE["mkpasswd -m scrypt"][0], MADE["mkpasswd -m yescrypt"][0]


def problem(text):
    with pytest.raises(SecretError) as caught:
        read_crypt_string(text)
    return str(caught.value)


@pytest.mark.parametrize("command", CRYPT)
def test_strings_of_other_programs_are_read(command):
    text, scheme = CRYPT[command]
    secret = read_crypt_string(text)
    assert (secret.scheme, secret.text) == (scheme, text)
    assert text not in repr(secret)


@pytest.mark.parametrize("command", CRYPT)
def test_a_string_that_was_cut_or_that_goes_on_is_refused(command):
    text, scheme = CRYPT[command]
    assert scheme in problem(text[:-1])
    assert scheme in problem(text + ".")
    assert scheme in problem(text[:-1] + "\n")


@pytest.mark.parametrize("text", TOO_WEAK)
def test_md5_is_refused_with_a_remedy(text):
    assert "htpasswd -B" in problem(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BCRYPT.replace("$05$", f"$0{4}$"), ""),
        (BCRYPT.replace("$05$", f"${MAX_BCRYPT_COST}$"), ""),
        (BCRYPT.replace("$05$", "$03$"), "bcrypt cost is 3"),
        (BCRYPT.replace("$05$", f"${MAX_BCRYPT_COST + 1}$"), "bcrypt cost is 15"),
        (SHA512.replace("$6$", f"$6$rounds={MAX_SHA_ROUNDS}$"), ""),
        (SHA512.replace("$6$", f"$6$rounds={MAX_SHA_ROUNDS + 1}$"), "SHA rounds are 1000001"),
        (SHA512.replace("$6$", "$6$rounds=999$"), "SHA rounds are 999"),
        # N 2^16 with r 32 is 256 MiB, and N 2^17 is 512 MiB.
        (YESCRYPT.replace("$j9T$", "$jDT$"), ""),
        (YESCRYPT.replace("$j9T$", "$jET$"), "yescrypt cost is too high"),
        (YESCRYPT.replace("$j9T$", "$j9zz$"), "yescrypt cost is too high"),
        (YESCRYPT.replace("$j9T$", "$j9T..$"), "parameters beyond"),
        (YESCRYPT.replace("$j9T$", "$j9$"), "parameters beyond"),
        (SCRYPT.replace("$7$CU..../", "$7$EU..../"), ""),
        (SCRYPT.replace("$7$CU..../", "$7$FU..../"), "scrypt cost is too high"),
        (SCRYPT.replace("$7$CU..../....", "$7$CU....2...."), ""),
        (SCRYPT.replace("$7$CU..../....", "$7$CU....3...."), "scrypt cost is too high"),
        (SCRYPT.replace("$7$CU..../....", "$7$CzzzzzZzzzz"), "scrypt cost is too high"),
        (SCRYPT.replace("$7$C", "$7$z"), "scrypt cost is too high"),
    ],
)
def test_costs_are_bounded(text, words):
    if words:
        assert words in problem(text)
    else:
        assert read_crypt_string(text).text == text


@given(
    st.text(max_size=200) | st.builds("{}{}".format, st.sampled_from(["$2y$", "$6$", "$y$", "$7$"]), st.text("$./aZ9"))
)
def test_any_other_text_is_refused_without_showing_it(text):
    words = problem(text)
    assert len(text) < 6 or text not in words
