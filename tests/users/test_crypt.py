"""libcrypt through ctypes: strings of other programs are checked, and several threads work at the same time."""

import ctypes
from threading import Thread

import pytest

from mta.users.crypt import Libcrypt, libcrypt
from tests.users.made_secrets import BCRYPT, MADE, PASSWORD

LIBRARY = libcrypt()
needs_libcrypt = pytest.mark.skipif(LIBRARY is None, reason="this system has no libxcrypt")
CRYPT = [text for text, _ in MADE.values() if text.startswith("$")]


@needs_libcrypt
@pytest.mark.parametrize("text", CRYPT)
def test_the_right_password_makes_the_same_string(text):
    assert LIBRARY.can_check(text)
    assert LIBRARY.hash(PASSWORD.encode(), text) == text
    assert LIBRARY.hash(b"other", text) != text


@needs_libcrypt
@pytest.mark.parametrize("prefix", ["$2y$", "$y$", "$6$"])
def test_new_settings_have_salts_of_their_own(prefix):
    one, other = (LIBRARY.new_setting(prefix, 0) for _ in range(2))
    assert one != other
    assert one.startswith(prefix)
    assert LIBRARY.hash(b"x", one).startswith(one)


@needs_libcrypt
def test_what_libcrypt_does_not_have_is_none():
    assert LIBRARY.hash(b"x", "$9$nothing$") is None
    assert LIBRARY.new_setting("$9$", 0) is None
    assert not LIBRARY.can_check("$9$nothing$")


@needs_libcrypt
def test_threads_do_not_disturb_each_other():
    wrong = []

    def work(text):
        wrong.extend(text for _ in range(5) if LIBRARY.hash(PASSWORD.encode(), text) != text)

    threads = [Thread(target=work, args=(text,)) for text in (BCRYPT, *CRYPT[-2:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_library_without_the_functions_of_libxcrypt_is_refused():
    with pytest.raises(AttributeError):
        Libcrypt(ctypes.CDLL(None))
