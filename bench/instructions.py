"""`make bench-instructions`: the instructions that a message takes, compared with the committed figures.

The time of a message depends on the machine and its other load. Its instructions hardly do, so they show a change of
3 % that no measurement of time shows. They are no measure of speed: they leave out the kernel and the disk.
"""

import argparse
import sys
import tempfile
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
from harness.waiting import until
from mta.smtp import address

# Messages before those that count, and those that count.
_WARM, _MESSAGES = 100, 400
_NOWHERE = 9
_LOADS = {"B1": Load(), "B2": Load(options=())}


def main() -> int:
    """Count, print, and compare or write. Returns the exit status: 1 if a figure has grown too much."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="commit the new figures: write them into the file")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the queues lie")
    options = parser.parse_args()
    if reason := callgrind.why_not() or load.why_not():
        print(f"not measured: {reason}")
        return 0
    build = this_build(compiled=not address.__file__.endswith(".py"))
    committed = find(build, read())
    if committed is None and not options.write:
        print(f"not measured: no figures for {build.python}. make bench-instructions WRITE=1 writes them")
        return 0
    with tempfile.TemporaryDirectory(dir=options.directory) as home:
        counted = count(Path(home))
    if committed is not None:
        print(*lines(committed, counted), sep="\n")
    if options.write:
        write(Entry(build, these_packages(), counted))
        return 0
    assert committed is not None
    bad = verdict(committed, counted, these_packages())
    print(bad or "not more than committed")
    return 1 if bad else 0


def count(directory: Path) -> dict[str, int]:
    """Return the instructions a message of B1, B2 and B5."""
    directory.chmod(0o755)
    counted = {}
    with Sink() as sink, CountedRelay(Place(directory, directory, sink.port, {})) as relay:
        for name, load_ in _LOADS.items():
            warm_up(relay, sink, load_, _WARM)
            _settled(relay)
            relay.instructions()
            pass_through(relay, sink, load_, _MESSAGES)
            _settled(relay)
            counted[name] = relay.instructions() // _MESSAGES
    with CountedRelay(Place(directory, directory, _NOWHERE, {}), ("bench.variants", "held")) as relay:
        send(relay, _WARM)
        relay.instructions()
        send(relay, _MESSAGES)
        counted["B5"] = relay.instructions() // _MESSAGES
    return counted


def _settled(relay: CountedRelay) -> None:
    """Wait until no message is left, so that none of the next ones pays for it."""
    until(lambda: relay.waiting() == 0, what="an empty queue")


if __name__ == "__main__":
    sys.exit(main())
