"""Calls libunbound, the validating resolver of NLnet Labs, through ctypes (unbound.h, soname 8).

libunbound looks names up in a thread of its own, which never runs Python code, and writes results to a pipe.
"""

import contextlib
import ctypes
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

# musl and glibc find the library by this name; another soname would mean another `struct ub_result`.
_NAME = "libunbound.so.8"
_INTERNET = 1
#: The largest reply of a DNS server, in octets.
MAX_REPLY_OCTETS = 65535
_MAX_REASON = 300


class _UbResult(ctypes.Structure):
    """`struct ub_result`."""

    _fields_ = (
        ("qname", ctypes.c_char_p),
        ("qtype", ctypes.c_int),
        ("qclass", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("len", ctypes.c_void_p),
        ("canonname", ctypes.c_char_p),
        ("rcode", ctypes.c_int),
        ("answer_packet", ctypes.c_void_p),
        ("answer_len", ctypes.c_int),
        ("havedata", ctypes.c_int),
        ("nxdomain", ctypes.c_int),
        ("secure", ctypes.c_int),
        ("bogus", ctypes.c_int),
        ("why_bogus", ctypes.c_char_p),
        ("was_ratelimited", ctypes.c_int),
        ("ttl", ctypes.c_int),
    )


_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_UbResult))


class LibunboundError(Exception):
    """libunbound refused a call or gave no result; the message is one line for an operator."""


@dataclass(frozen=True, slots=True)
class UnboundResult:
    """The result of one look-up: the reply as octets, and whether it is proven or forged.

    `reason` says why it is bogus. `error` is libunbound's own failure, after which there is no reply.
    """

    packet: bytes = field(default=b"", repr=False)
    secure: bool = False
    bogus: bool = False
    reason: str = ""
    error: str = ""


class Libunbound:
    """The functions of one libunbound."""

    def __init__(self, library: Any) -> None:
        """Raise AttributeError if the library lacks a function."""
        context, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        self.create = _declared(library.ub_ctx_create, context)
        self.delete = _declared(library.ub_ctx_delete, None, context)
        self.option = _declared(library.ub_ctx_set_option, number, context, text, text)
        self.forward = _declared(library.ub_ctx_set_fwd, number, context, text)
        self.anchor = _declared(library.ub_ctx_add_ta, number, context, text)
        self.threaded = _declared(library.ub_ctx_async, number, context, number)
        self.log_to = _declared(library.ub_ctx_debugout, number, context, ctypes.c_void_p)
        self.fd = _declared(library.ub_fd, number, context)
        self.process = _declared(library.ub_process, number, context)
        self.ask = _declared(
            library.ub_resolve_async,
            number,
            context,
            text,
            number,
            number,
            ctypes.c_void_p,
            _Callback,
            ctypes.POINTER(number),
        )
        self.free = _declared(library.ub_resolve_free, None, ctypes.POINTER(_UbResult))
        self._error_text = _declared(library.ub_strerror, text, number)

    def error(self, code: int) -> str:
        """Return the words for an error code of a function; "" for 0."""
        return self._error_text(code).decode("ascii", "replace") if code else ""


class UnboundContext:
    """A resolver of libunbound with a cache of its own, which asks these servers and validates by these anchors.

    Its thread starts with the first look-up, and does not survive a fork. All methods return at once.
    """

    def __init__(
        self,
        library: Libunbound,
        servers: Iterable[tuple[str, int]],
        anchors: Iterable[str],
        options: Iterable[tuple[str, str]],
    ) -> None:
        """Prepare. `anchors` are DS or DNSKEY records as text. Raises LibunboundError.

        `options` are those of unbound.conf(5); one that this libunbound does not have is without effect.
        """
        self._library = library
        # Kept, because libunbound calls it.
        self._callback = _Callback(self._done)
        self._results: list[tuple[int, UnboundResult]] = []
        self._context = library.create()
        if not self._context:
            raise LibunboundError("out of memory")
        try:
            self._configure(servers, anchors, options)
        except LibunboundError:
            self.close()
            raise

    def _configure(
        self, servers: Iterable[tuple[str, int]], anchors: Iterable[str], options: Iterable[tuple[str, str]]
    ) -> None:
        library, context = self._library, self._context
        # Its own log would go to standard error.
        self._check(library.log_to(context, None), "its log")
        self._check(library.threaded(context, 1), "threads")
        for name, value in options:
            library.option(context, f"{name}:".encode(), value.encode())
        for address, port in servers:
            self._check(library.forward(context, f"{address}@{port}".encode()), f"server {address}")
        for anchor in anchors:
            self._check(library.anchor(context, anchor.encode()), "the trust anchor")

    def fileno(self) -> int:
        """Return the descriptor that is readable when `process` has something to do."""
        return int(self._library.fd(self._context))

    def ask(self, number: int, name: bytes, rdtype: int) -> None:
        """Begin a look-up, whose result `process` returns with its number. Raises LibunboundError."""
        self._require_open()
        code = self._library.ask(self._context, name, rdtype, _INTERNET, number, self._callback, None)
        self._check(code, "a look-up")

    def process(self) -> list[tuple[int, UnboundResult]]:
        """Return the results that have come, with the numbers of their look-ups. Raises LibunboundError."""
        self._require_open()
        code = self._library.process(self._context)
        results, self._results = self._results, []
        self._check(code, "results")
        return results

    def close(self) -> None:
        """End the thread and free all memory; look-ups that have not ended give no result."""
        self._library.delete(self._context)
        self._context = None

    def _require_open(self) -> None:
        # libunbound would follow the null pointer.
        if self._context is None:
            raise LibunboundError("libunbound: it is closed")

    def _check(self, code: int, subject: str) -> None:
        if code:
            raise LibunboundError(f"libunbound: {subject}: {self._library.error(code)}")

    def _done(self, number: int | None, code: int, result: Any) -> None:
        """Take a result; called by `process`, so that an exception would be lost."""
        if code:
            self._results.append((number or 0, UnboundResult(error=self._library.error(code))))
            return
        self._results.append((number or 0, _taken(result.contents)))
        self._library.free(result)


def _taken(result: _UbResult) -> UnboundResult:
    size = result.answer_len if result.answer_packet else 0
    if size > MAX_REPLY_OCTETS:
        return UnboundResult(error=f"a reply of {size} octets")
    packet = ctypes.string_at(result.answer_packet, size) if size else b""
    reason = (result.why_bogus or b"")[:_MAX_REASON].decode("ascii", "replace")
    return UnboundResult(packet, bool(result.secure), bool(result.bogus), " ".join(reason.split()))


def _declared(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype = result
    function.argtypes = arguments
    return function


@cache
def libunbound() -> Libunbound | None:
    """Return the system's libunbound, or None if there is none with the functions of this module."""
    with contextlib.suppress(OSError, AttributeError):
        return Libunbound(ctypes.CDLL(_NAME))
    return None
