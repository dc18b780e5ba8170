"""Records the Python calls of a daemon while it is told to. Python imports this from its folder on the path.

TRACE_PACKAGE is the folder whose calls are recorded. TRACE_ORDERS is a pipe from which lines are read: `begin` starts a
recording, `end` ends it. The answer to each is a line in TRACE_RECORD, the calls in JSON; that to `begin` has no calls.
All threads that `threading` starts are recorded.
"""

import json
import os
import sys
import threading
from dis import opmap
from types import CodeType, FrameType
from typing import Any

#: Frames that are no calls in a reader's eyes; Python 3.12 has none of them for most comprehensions.
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})


class Recorder:
    """The calls of the package's functions, with the functions of the package that stood on the stack."""

    def __init__(self, package: str) -> None:
        self._package = package + os.sep
        self._names: dict[CodeType, tuple[str, str] | None] = {}
        self.recording = False
        self.calls: list[tuple[bool, list[tuple[str, str]]]] = []

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call; to be set with `sys.setprofile`."""
        if not self.recording or event != "call" or self._name(frame.f_code) is None:
            return
        stack = []
        each: FrameType | None = frame
        while each is not None:
            name = self._name(each.f_code)
            if name is not None:
                stack.append(name)
            each = each.f_back
        self.calls.append((_is_resumed(frame), stack[::-1]))

    def _name(self, code: CodeType) -> tuple[str, str] | None:
        """Return the file and the qualified name of a function of the package, or None for another one."""
        if code not in self._names:
            ours = code.co_filename.startswith(self._package) and code.co_name not in _COMPREHENSIONS
            self._names[code] = (code.co_filename[len(self._package) :], code.co_qualname) if ours else None
        return self._names[code]

    def obey(self, orders: int, record: int) -> None:
        """Follow the orders of a pipe until it is closed."""
        with open(orders, encoding="ascii") as lines, open(record, "w", encoding="utf-8") as out:
            for line in lines:
                self.recording = False
                out.write(json.dumps(self.calls) + "\n")
                self.calls = []
                self.recording = line.strip() == "begin"
                out.flush()


def _is_resumed(frame: FrameType) -> bool:
    """Whether the frame is that of a coroutine or generator which goes on after a wait."""
    operation, argument = frame.f_code.co_code[frame.f_lasti : frame.f_lasti + 2]
    return operation == opmap["RESUME"] and argument & 3 != 0


if os.environ.get("TRACE_ORDERS"):
    # Opened for writing too, so that neither the opening nor the reading depends on the moment of the first order.
    _orders = os.open(os.environ["TRACE_ORDERS"], os.O_RDWR)
    _record = os.open(os.environ["TRACE_RECORD"], os.O_WRONLY)
    _recorder = Recorder(os.environ["TRACE_PACKAGE"])
    threading.Thread(target=_recorder.obey, args=(_orders, _record), daemon=True).start()
    threading.setprofile(_recorder.profile)
    sys.setprofile(_recorder.profile)
