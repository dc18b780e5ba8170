"""`python -m tests.fuzz`: every target in both ways, one after the other, then how its work grows. See README.md.

Prints a line for each and ends with status 1 if any input failed; that lies in the folder then, with its traceback.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.fuzz.growing import too_steep
from tests.fuzz.table import TARGETS
from tests.fuzz.ways import WAYS, runner

_FOLDER = Path(".cache/fuzz")
_CAMPAIGNS = {"octets": "tests.fuzz.guided", "drawn": "tests.fuzz.drawn"}


def _campaign(name: str, way: str, inputs: int) -> bool:
    """Run one campaign and print its line; return whether it found no fault."""
    command = [sys.executable, "-m", _CAMPAIGNS[way], name, str(inputs), str(_FOLDER)]
    with (_FOLDER / f"{name}-{way}.log").open("w") as log:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, check=False
        )
    lines = ended.stdout.splitlines()
    if not lines:
        print(f"{name:9} {way:7} ended with status {ended.returncode}: see {log.name}", flush=True)
        return False
    result = json.loads(lines[-1])
    new = "" if result["new"] is None else f" {result['new']:5} new"
    rate = result["inputs"] / max(result["seconds"], 1e-9)
    print(
        f"{name:9} {way:7} {result['inputs']:9,} inputs  {result['seconds']:7.0f} s CPU  {rate:7,.0f}/s "
        f"{new}  slowest {result['slowest'] * 1000:5.0f} ms ({result['slowest_octets']} octets)",
        flush=True,
    )
    if result["found"]:
        print(f"  FOUND {result['why']}\n  python -m tests.fuzz --replay {result['found']}", flush=True)
    return ended.returncode == 0


def _growth(name: str) -> bool:
    """Print the growth of a target's work; return whether no shape's work grows faster than its input."""
    steep = too_steep(TARGETS[name])
    print(f"{name:9} growth  {len(TARGETS[name].growth):9,} shapes  {len(steep)} steeper than linear", flush=True)
    for words in steep:
        print(f"  FOUND {words}", flush=True)
    return not steep


def _replay(path: Path) -> None:
    """Check a saved input again; its file's name has the target and the way."""
    name, way, _ = path.name.split("-")
    runner(TARGETS[name], way)(path.read_bytes())
    print("nothing found")


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="inputs for each target and way")
    parser.add_argument("--targets", default=",".join(TARGETS), help="some of the targets, between commas")
    parser.add_argument("--ways", default=",".join((*WAYS, "growth")), help="octets, drawn, growth")
    parser.add_argument("--replay", type=Path, help="check a saved input again")
    options = parser.parse_args()
    if options.replay:
        _replay(options.replay)
        return 0
    _FOLDER.mkdir(parents=True, exist_ok=True)
    clean = True
    for name in options.targets.split(","):
        for way in options.ways.split(","):
            clean &= _growth(name) if way == "growth" else _campaign(name, way, options.inputs)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
