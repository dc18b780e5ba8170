"""Calls the system's libcrypt, that of libxcrypt, through ctypes.

`crypt_rn` writes into memory of the caller, so that threads can call it at the same time, and ctypes releases the
interpreter's lock during a call. musl and the libcrypt of glibc do not have it.
"""

import contextlib
import ctypes
from functools import cache

# The second name is that of libxcrypt without the functions that glibc had.
_NAMES = ("libcrypt.so.1", "libcrypt.so.2")
# The size of `struct crypt_data`, and CRYPT_GENSALT_OUTPUT_SIZE, of crypt.h.
_DATA_OCTETS = 32768
_SETTING_OCTETS = 192
# CRYPT_SALT_INVALID and CRYPT_SALT_METHOD_DISABLED of crypt.h.
_UNUSABLE = {1, 2}

#: The longest password that libcrypt takes, in octets: CRYPT_MAX_PASSPHRASE_SIZE of crypt.h without the final NUL.
MAX_PASSWORD_OCTETS = 511


class Libcrypt:
    """The functions of one libcrypt."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Raise AttributeError if the library is not libxcrypt."""
        self._crypt = library.crypt_rn
        self._crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
        self._crypt.restype = ctypes.c_char_p
        self._gensalt = library.crypt_gensalt_rn
        self._gensalt.argtypes = (
            ctypes.c_char_p,
            ctypes.c_ulong,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_int,
        )
        self._gensalt.restype = ctypes.c_char_p
        self._check = library.crypt_checksalt
        self._check.argtypes = (ctypes.c_char_p,)
        self._check.restype = ctypes.c_int

    def hash(self, password: bytes, setting: str) -> str | None:
        """Return the crypt string of a password, or None if libcrypt cannot make it.

        `setting` has the method, the cost and the salt; a whole crypt string will do. The password has no NUL and at
        most MAX_PASSWORD_OCTETS. This blocks for as long as the cost demands.
        """
        data = ctypes.create_string_buffer(_DATA_OCTETS)
        made: bytes | None = self._crypt(password, setting.encode(), data, _DATA_OCTETS)
        return None if made is None else made.decode("ascii", "replace")

    def new_setting(self, prefix: str, cost: int) -> str | None:
        """Return a setting with a random salt for a method such as `$2b$`, or None if libcrypt does not have it."""
        output = ctypes.create_string_buffer(_SETTING_OCTETS)
        made: bytes | None = self._gensalt(prefix.encode(), cost, None, 0, output, _SETTING_OCTETS)
        return None if made is None else made.decode("ascii", "replace")

    def can_check(self, setting: str) -> bool:
        """Whether this libcrypt has the method of a crypt string."""
        return self._check(setting.encode()) not in _UNUSABLE


@cache
def libcrypt() -> Libcrypt | None:
    """Return the system's libcrypt, or None if there is none with the functions of libxcrypt."""
    for name in _NAMES:
        with contextlib.suppress(OSError, AttributeError):
            return Libcrypt(ctypes.CDLL(name))
    return None
