"""The server's side of SCRAM by libgsasl: an implementation that shares no code with the relay.

It needs Debian's `libgsasl18`, which `gsasl` brings along.
"""

import base64
import ctypes
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

_LIBRARY = "libgsasl.so.18"
_OK, _NEEDS_MORE, _NO_CALLBACK = 0, 1, 51
# Properties of gsasl.h.
_AUTHID, _PASSWORD, _TLS_UNIQUE, _TLS_EXPORTER = 1, 3, 18, 25
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)


@cache
def _library() -> Any:
    library = ctypes.CDLL(_LIBRARY)
    library.gsasl_property_fast.restype = ctypes.c_char_p
    library.gsasl_property_fast.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.gsasl_property_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    library.gsasl_server_start.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]
    library.gsasl_step.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(ctypes.c_size_t),
    ]
    library.gsasl_callback_set.argtypes = [ctypes.c_void_p, _Callback]
    for name in ("gsasl_free", "gsasl_finish", "gsasl_done"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    return library


def why_not() -> str | None:
    """Return why the library cannot be used here, or None if it can."""
    try:
        _library()
    except OSError:
        return f"{_LIBRARY} is not installed: install gsasl"
    return None


class ScramServer:
    """One exchange of SCRAM-SHA-256 or SCRAM-SHA-256-PLUS, by passwords in clear.

    `exporter` is the channel binding tls-exporter (RFC 9266), None if the server has none. A context manager.
    """

    def __init__(self, mechanism: str, passwords: Mapping[str, str], exporter: bytes | None) -> None:
        self.user = ""
        #: Whether the last step found the client's proof right.
        self.accepted = False
        self._mechanism = mechanism
        self._passwords = passwords
        self._exporter = exporter
        self._context, self._session = ctypes.c_void_p(), ctypes.c_void_p()
        self._ask = _Callback(self._asked)

    def __enter__(self) -> Self:
        library = _library()
        library.gsasl_init(ctypes.byref(self._context))
        library.gsasl_callback_set(self._context, self._ask)
        status = library.gsasl_server_start(self._context, self._mechanism.encode(), ctypes.byref(self._session))
        if status != _OK:
            library.gsasl_done(self._context)
            raise ValueError(f"libgsasl does not start {self._mechanism}: error {status}")
        return self

    def __exit__(self, *exc: object) -> None:
        _library().gsasl_finish(self._session)
        _library().gsasl_done(self._context)

    def step(self, response: bytes) -> bytes | None:
        """Take a response. Return the next challenge, or None when the exchange has ended."""
        output, length = ctypes.c_void_p(), ctypes.c_size_t()
        ends = self.accepted
        status = _library().gsasl_step(
            self._session, response, len(response), ctypes.byref(output), ctypes.byref(length)
        )
        if ends or status not in {_OK, _NEEDS_MORE}:
            self.accepted = ends and not response
            return None
        challenge = ctypes.string_at(output, length.value) if output.value else b""
        _library().gsasl_free(output)
        # The last challenge proves the server to the client, who answers it with an empty response.
        self.accepted = status == _OK
        return challenge

    def _asked(self, context: int, session: int, wanted: int) -> int:
        if wanted == _TLS_EXPORTER and self._exporter is not None:
            _library().gsasl_property_set(session, _TLS_EXPORTER, base64.b64encode(self._exporter))
            return _OK
        if wanted != _PASSWORD:
            return _NO_CALLBACK
        self.user = (_library().gsasl_property_fast(session, _AUTHID) or b"").decode()
        if self.user not in self._passwords:
            return _NO_CALLBACK
        _library().gsasl_property_set(session, _PASSWORD, self._passwords[self.user].encode())
        return _OK
