"""`make bench`: the relay, Postfix and Exim side by side, in turns, on this machine."""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import load, plot, result_files, table
from bench.machine import machine
from bench.measure import Measuring
from bench.row import Bench, Row
from bench.rows import ROWS

_CACHE = Path(__file__).parent.parent / ".cache" / "bench"
#: Rounds and minutes of a run, and of a quick one.
_FULL, _QUICK = (3, 20.0), (1, 1.75)


def main() -> int:
    """Measure, print the tables and keep them. Returns the exit status: 1 without any measured figure."""
    options = _options()
    # A manager's SIGTERM unwinds like Ctrl-C, so that all started programs are ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if reason := load.why_not():
        print(f"nothing measured: {reason}", file=sys.stderr)
        return 1
    facts = machine(options.directory, options.cache)
    print(table.facts_line(facts), flush=True)
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    measuring = Measuring(
        Bench(options.directory, options.cache, options.quick),
        rows,
        options.contenders,
        seconds=options.minutes * 60,
        say=lambda words: print(words, flush=True),
    )
    interrupted = _run(measuring, options.rounds)
    _report(measuring, rows, facts, publish=options.publish)
    return 130 if interrupted else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small loads: under two minutes")
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], metavar="ROW", help="B1 B7 ...")
    parser.add_argument("--contenders", nargs="+", metavar="NAME", help="smtprelay, 'smtprelay x2', postfix, exim ...")
    parser.add_argument("--rounds", type=int, help="how often each takes its turn (default 3, quick 1)")
    parser.add_argument("--minutes", type=float, help="nothing is begun later (default 20, quick 1.75)")
    parser.add_argument(
        "--directory", type=Path, default=Path("/var/tmp"), help="where the queues lie: a real disk, not a tmpfs"
    )
    parser.add_argument("--cache", type=Path, default=_CACHE, help="where the peers' programs are kept")
    parser.add_argument("--publish", action="store_true", help="put tables and plot into bench/README.md")
    options = parser.parse_args()
    rounds, minutes = _QUICK if options.quick else _FULL
    options.rounds = options.rounds or rounds
    options.minutes = options.minutes or minutes
    options.directory, options.cache = options.directory.resolve(), options.cache.resolve()
    return options


def _run(measuring: Measuring, rounds: int) -> bool:
    """Measure, and return whether an operator cut the run short. The figures measured until then count."""
    try:
        measuring.run(rounds)
    except KeyboardInterrupt:
        measuring.results.notes.append("cut short")
        return True
    return False


def _report(measuring: Measuring, rows: Sequence[Row], facts: dict[str, str], *, publish: bool) -> None:
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    text = table.section(measuring.results, rows, facts, command)
    panels = plot.panels(measuring.results, rows)
    drawing = plot.draw(panels) if panels else ""
    print(f"\n{text}")
    print(f"Figures and this text in {result_files.keep(measuring.results, facts, command, text, drawing)}")
    if publish:
        result_files.publish(text, drawing)


if __name__ == "__main__":
    sys.exit(main())
