"""A relay with faults in its connections. Python imports this from its folder on the path.

A read raises if its first octets have FAULT-IN-READ in them. After octets with FAULT-IN-WRITE each write raises that
the reactor asks for.
"""

import socket
from typing import Any

from twisted.internet.tcp import Connection

_read, _write = Connection.doRead, Connection.doWrite
_marked: set[int] = set()


def _faulty_read(self: Any) -> Any:
    try:
        octets = self.socket.recv(4096, socket.MSG_PEEK)
    except OSError:
        octets = b""
    if b"FAULT-IN-READ" in octets:
        raise RuntimeError("a read failed")
    if b"FAULT-IN-WRITE" in octets:
        _marked.add(id(self))
    return _read(self)


def _faulty_write(self: Any) -> Any:
    if id(self) in _marked:
        raise RuntimeError("a write failed")
    return _write(self)


Connection.doRead = _faulty_read  # type: ignore[method-assign]
Connection.doWrite = _faulty_write  # type: ignore[method-assign]
