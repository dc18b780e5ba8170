"""The common part of both kinds of campaign: checks, counts and times so many inputs, or until one fails."""

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.fuzz.target import Target
from tests.fuzz.ways import runner

# CPU seconds that an input may take, at any length and for each octet. A usual check takes a hundredth of it.
_BASE, _OCTET = 0.25, 1e-4
_TRIES = 3
# Inputs after which the log says how many there were.
_TOLD = 50_000


@dataclass(slots=True)
class Result:
    """The result of a campaign; times are CPU seconds."""

    inputs: int = 0
    seconds: float = 0.0
    #: The inputs that reached new code; None without guidance.
    new: int | None = None
    slowest: float = 0.0
    #: Octets of the slowest.
    slowest_octets: int = 0
    #: The path of a saved input that failed, and the reason; "" without a failure.
    found: str = ""
    why: str = ""


@dataclass(slots=True)
class Campaign:
    """One target in one way: call it with octets until it is over. A failed input is saved below `folder`."""

    target: Target[Any]
    way: str
    wanted: int
    folder: Path
    result: Result = field(default_factory=Result)
    _run: Callable[[bytes], object] = field(init=False)
    _drawn: Any = None

    def __post_init__(self) -> None:
        self._run = runner(self.target, self.way, self._check)

    @property
    def over(self) -> bool:
        """Whether enough was checked, or something found."""
        return bool(self.result.found) or self.result.inputs >= self.wanted

    def __call__(self, data: bytes) -> None:
        """Check the input that these octets stand for; never raises."""
        try:
            self._timed(data)
        except Exception as fault:  # noqa: BLE001  every exception is a finding
            self._save(data, fault)

    def _check(self, drawn: Any) -> None:
        self.result.inputs += 1
        if self.result.inputs % _TOLD == 0:
            print(f"{self.result.inputs:,} inputs, {self.result.seconds:,.0f} s CPU", file=sys.stderr, flush=True)
        self._drawn = drawn
        self.target.check(drawn)

    def _timed(self, data: bytes) -> None:
        began = time.process_time()
        self._run(data)
        spent = time.process_time() - began
        self.result.seconds += spent
        if spent > self.result.slowest:
            self.result.slowest, self.result.slowest_octets = spent, len(data)
        allowed = _BASE + _OCTET * len(data)
        if spent > allowed and min(_again(self._run, data) for _ in range(_TRIES)) > allowed:
            raise TimeoutError(f"{spent:.2f} s for {len(data)} octets")

    def _save(self, data: bytes, fault: Exception) -> None:
        found = self.folder / "found"
        found.mkdir(exist_ok=True)
        path = found / f"{self.target.name}-{self.way}-{sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        trace = "".join(traceback.format_exception(fault))
        path.with_suffix(".txt").write_text(f"{self._drawn!r}\n\n{trace}", errors="backslashreplace")
        self.result.found = str(path)
        self.result.why = ascii(f"{type(fault).__name__}: {fault}")[1:200]


def _again(check: Callable[[bytes], object], data: bytes) -> float:
    began = time.process_time()
    check(data)
    return time.process_time() - began
