"""One campaign in a process of its own: `python -m tests.fuzz.campaign target way inputs folder`.

Mutates octets, guided by what they reach in mta/, until so many inputs were checked, or until one fails. The last line
that it prints is a Result as JSON; libFuzzer's own words go to standard error.
"""

import json
import os
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["mta"]):
    from tests.fuzz.table import TARGETS

from tests.fuzz.corpus import kept
from tests.fuzz.target import Target
from tests.fuzz.ways import runner

_LONGEST = {"octets": 400, "drawn": 200}
# CPU seconds that an input may take, at any length and for each octet. What is checked costs a hundredth of it.
_BASE, _OCTET = 0.25, 1e-4
_TRIES = 3
_FEW = 32


@dataclass(slots=True)
class Result:
    """What came of a campaign; times are CPU seconds."""

    inputs: int = 0
    seconds: float = 0.0
    #: Inputs that reached something new.
    new: int = 0
    slowest: float = 0.0
    #: Octets of the slowest.
    slowest_octets: int = 0
    #: Where an input was saved that failed, and why; "" for none.
    found: str = ""
    why: str = ""


@dataclass(slots=True)
class _Campaign:
    target: Target[Any]
    way: str
    wanted: int
    folder: Path
    result: Result = field(default_factory=Result)
    _drawn: Any = None

    def run(self) -> None:
        corpus = self.folder / f"{self.target.name}-{self.way}"
        before = self._seed(corpus)
        check = runner(self.target, self.way, self._check)

        def one(data: bytes) -> None:
            try:
                self._timed(check, data)
            except Exception as fault:  # noqa: BLE001  whatever it is, it was found
                self._save(data, fault)
            if self.result.found or self.result.inputs >= self.wanted:
                self.result.new = len(list(corpus.iterdir())) - before
                self._end()

        words = self.folder / f"{self.target.name}.dict"
        escaped = ("".join(f"\\x{octet:02x}" for octet in word) for word in self.target.words if len(word) < 64)
        words.write_text("".join(f'"{word}"\n' for word in escaped))
        options = ["-verbosity=0", "-rss_limit_mb=2048", "-timeout=120", "-reload=0", "-len_control=0"]
        longest = f"-max_len={_LONGEST[self.way]}"
        atheris.Setup([sys.argv[0], str(corpus), f"-dict={words}", longest, *options], one)
        atheris.Fuzz()

    def _seed(self, corpus: Path) -> int:
        """Put in what there is to begin with; return how many inputs there are."""
        corpus.mkdir(parents=True, exist_ok=True)
        random = Random(0)
        seeds = kept(self.target.name) if self.way == "octets" else [random.randbytes(256) for _ in range(_FEW)]
        for seed in seeds:
            (corpus / sha256(seed).hexdigest()[:40]).write_bytes(seed)
        return len(list(corpus.iterdir()))

    def _check(self, drawn: Any) -> None:
        self.result.inputs += 1
        self._drawn = drawn
        self.target.check(drawn)

    def _timed(self, check: Any, data: bytes) -> None:
        began = time.process_time()
        check(data)
        spent = time.process_time() - began
        self.result.seconds += spent
        if spent > self.result.slowest:
            self.result.slowest, self.result.slowest_octets = spent, len(data)
        allowed = _BASE + _OCTET * len(data)
        if spent > allowed and min(_again(check, data) for _ in range(_TRIES)) > allowed:
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

    def _end(self) -> NoReturn:
        """Stop here: libFuzzer has no way to return."""
        print(json.dumps(asdict(self.result)), flush=True)
        os._exit(1 if self.result.found else 0)


def _again(check: Any, data: bytes) -> float:
    began = time.process_time()
    check(data)
    return time.process_time() - began


def main(name: str, way: str, inputs: str, folder: str) -> None:
    """Run a campaign with these words of a command line."""
    _Campaign(TARGETS[name], way, int(inputs), Path(folder)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
