"""`make bench-instructions`: the instructions that a message takes, compared with the committed figures.

The time of a message depends on the machine and its other load. Its instructions hardly do, so they show a change of
3 % that no measurement of time shows. They are no measure of speed: they leave out the kernel and the disk.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import callgrind, load
from bench.callgrind import CountedRelay
from bench.instruction_figures import (
    Entry,
    find,
    lines,
    read,
    these_packages,
    this_build,
    verdict,
    write,
)
from bench.load import Sink
from bench.rows.intake import send
from bench.rows.sending import Load, pass_through, warm_up
from bench.server import Place
from mta.smtp import address

# Messages before those that count, and those of each of the counts of which the least is taken. The others are higher
# because fewer messages share a transaction, as on a busy machine.
_WARM, _MESSAGES, _COUNTS = 100, 300, 2
_ROUNDS = 3
_NOWHERE = 9
_LOADS = {"B1": Load(), "B2": Load(options=())}


def main() -> int:
    """Count, print, and compare or write. Returns the exit status.

    It is 1 if a figure has grown too much, or if figures that are to be written cannot be counted here.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="commit the new figures: write them into the file")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the queues lie")
    options = parser.parse_args()
    if reason := callgrind.why_not() or load.why_not():
        print(f"not measured: {reason}")
        return int(options.write)
    build = this_build(compiled=not address.__file__.endswith(".py"))
    committed = find(build, read())
    if committed is None and not options.write:
        print(f"not measured: no figures for Python {build}. make bench-instructions WRITE=1 writes them")
        return 0
    bad = ""
    # Another program can only add to the counts, so one good round is proof.
    for _ in range(1 if committed is None or options.write else _ROUNDS):
        with tempfile.TemporaryDirectory(dir=options.directory) as home:
            counted = count(Path(home))
        if committed is not None:
            print(*lines(committed, counted), sep="\n", flush=True)
            bad = verdict(committed, counted, these_packages())
        if not bad:
            break
    if options.write:
        write(Entry(build, these_packages(), counted))
        return 0
    print(bad or "not more than committed")
    return 1 if bad else 0


def count(directory: Path) -> dict[str, int]:
    """Return the instructions a message of B1, B2 and B5."""
    directory.chmod(0o755)
    counted = {}
    with Sink() as sink, CountedRelay(Place(directory, directory, sink.port, {})) as relay:
        for name, each in _LOADS.items():
            warm_up(relay, sink, each, _WARM)
            counted[name] = _a_message(relay, partial(pass_through, relay, sink, each))
    with CountedRelay(Place(directory, directory, _NOWHERE, {}), ("bench.variants", "held")) as relay:
        send(relay, _WARM)
        counted["B5"] = _a_message(relay, partial(send, relay))
    return counted


def _a_message(relay: CountedRelay, pass_messages: Callable[[int], object]) -> int:
    """Return the instructions of a message, of which `pass_messages` has the relay handle so many."""
    counts = []
    for _ in range(_COUNTS):
        relay.begin()
        pass_messages(_MESSAGES)
        counts.append(relay.instructions() // _MESSAGES)
    return min(counts)


if __name__ == "__main__":
    sys.exit(main())
