"""Traces the simplest message through the daemon and prints how many files, functions and calls its way has.

    python -m tools.trace_message [--home CHECKOUT] [--walk]

The daemon of a checkout is started with a smarthost, which takes everything. A first message warms up all that is made
once. Each further message is traced from the connection of its client until its recipient is settled in the queue file;
the one with the median number of calls is shown, because timers of the daemon may fall into some of them.
"""

import argparse
import configparser
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.daemon import Daemon
from harness.sink import Sink
from harness.waiting import until

_ROOT = Path(__file__).parent.parent
_CONTENT = b"Subject: traced\r\nFrom: sender@sender.test\r\n\r\nThe way of a message.\r\n"
_RECIPIENT = "someone@example.test"
#: Seconds in which the daemon's last callbacks run, after the settlement is seen in the queue file.
_GRACE = 0.1

#: A function: its file below `mta/`, and its qualified name.
Function = tuple[str, str]


@dataclass(frozen=True)
class Trace:
    """The calls of one message, each with the stack of the relay's functions that ends in the one called."""

    stacks: Sequence[Sequence[Function]]
    #: How many of the calls resume a coroutine or a generator.
    resumed: int = 0

    @property
    def functions(self) -> set[Function]:
        """The functions that were called."""
        return {stack[-1] for stack in self.stacks}

    @property
    def files(self) -> set[str]:
        """The files of these functions."""
        return {file for file, _ in self.functions}

    @property
    def between_files(self) -> Counter[tuple[str, str]]:
        """How often a function of one file was called from another one, by the two files.

        The caller is the nearest function of the relay on the stack, also where the framework's code lies between.
        """
        pairs = ((stack[-2][0], stack[-1][0]) for stack in self.stacks if len(stack) > 1)
        return Counter(pair for pair in pairs if pair[0] != pair[1])

    @property
    def deepest(self) -> Sequence[Function]:
        """The stack with the most functions of the relay."""
        return max(self.stacks, key=len)

    @property
    def packages(self) -> Counter[str]:
        """The number of calls in each package."""
        return Counter(package_of(stack[-1][0]) for stack in self.stacks)


def package_of(file: str) -> str:
    """Return the folder of a file, a dot for one that is in none."""
    return file.rpartition("/")[0] or "."


def report(trace: Trace) -> Iterator[str]:
    """Yield the lines that are printed for a trace."""
    pairs = trace.between_files
    over_border = sum(count for (a, b), count in pairs.items() if package_of(a) != package_of(b))
    yield f"files visited: {len(trace.files)}"
    yield f"functions called: {len(trace.functions)}"
    yield f"calls: {len(trace.stacks)}, of which {trace.resumed} resume a coroutine"
    yield f"calls from file to file: {pairs.total()} over {len(pairs)} pairs, {over_border} from package to package"
    yield f"deepest stack: {len(trace.deepest)}"
    yield from (f"    {file}: {name}" for file, name in trace.deepest)
    yield "calls by package: " + ", ".join(f"{package} {count}" for package, count in trace.packages.most_common())


def walk(trace: Trace) -> Iterator[str]:
    """Yield a line for each call in the order of time, indented by the number of the relay's functions below it."""
    for stack in trace.stacks:
        file, name = stack[-1]
        yield f"{'  ' * (len(stack) - 1)}{file}: {name}"


def parse(line: str) -> Trace:
    """Return the trace that the daemon wrote as a line."""
    calls = json.loads(line)
    stacks = [[(file, name) for file, name in stack] for _, stack in calls]
    return Trace(stacks, sum(resumed for resumed, _ in calls))


def trace_messages(home: Path, number: int) -> list[Trace]:
    """Return the traces of this many messages, sent one after the other to the daemon of a checkout."""
    with tempfile.TemporaryDirectory() as name, Sink() as sink:
        folder = Path(name)
        orders, record = folder / "orders", folder / "record"
        os.mkfifo(orders)
        record.touch()
        daemon = Daemon(
            folder / "relay",
            PYTHONPATH=os.pathsep.join([str(_ROOT / "tools" / "trace_hooks"), str(home)]),
            TRACE_PACKAGE=str(home / "mta"),
            TRACE_ORDERS=str(orders),
            TRACE_RECORD=str(record),
            SMARTHOST_ADDRESS="127.0.0.1",
            SMARTHOST_PORT=str(sink.port),
            SMARTHOST_TLS="none",
        )
        with daemon:
            _deliver(daemon, home)
            traces = []
            for _ in range(number):
                _order("begin", orders, record)
                _deliver(daemon, home)
                traces.append(parse(_order("end", orders, record)))
            return traces


def _order(order: str, orders: Path, record: Path) -> str:
    """Give the daemon an order and return the line of its answer."""
    earlier = record.read_text().count("\n")
    orders.write_text(f"{order}\n")
    return until(lambda: record.read_text().split("\n")[earlier:-1], what=f"the answer to {order}")[0]


def _deliver(daemon: Daemon, home: Path) -> None:
    """Send a message, and wait until its recipient is settled."""
    daemon.submit(_CONTENT, _RECIPIENT)
    until(lambda: _is_empty(daemon, home), what="the settlement of a message")
    threading.Event().wait(_GRACE)


def _is_empty(daemon: Daemon, home: Path) -> bool:
    """Whether the queue is empty by the checkout's own command, which alone may read the checkout's queue file."""
    setup = configparser.ConfigParser()
    setup.read(home / "setup.cfg")
    _, _, entry = setup["options.entry_points"]["console_scripts"].partition("=")
    module, _, function = entry.strip().partition(":")
    command = [sys.executable, "-c", f"from {module} import {function}; {function}()", "queue", "list", "--json"]
    environment = {name: value for name, value in daemon.environment.items() if not name.startswith("TRACE_")}
    done = subprocess.run(  # noqa: S603  a command of the checkout that the caller named
        command, env=environment, cwd=home, capture_output=True, text=True, check=True
    )
    return not json.loads(done.stdout)


def main() -> None:
    """Trace messages and print one of the traces."""
    parser = argparse.ArgumentParser(description="Traces the simplest message through the daemon.")
    parser.add_argument("--home", type=Path, default=_ROOT, help="the checkout whose daemon is traced")
    parser.add_argument("--messages", type=int, default=10, help="how many messages are traced, default 10")
    parser.add_argument("--walk", action="store_true", help="print each call as well")
    arguments = parser.parse_args()
    traces = trace_messages(arguments.home.resolve(), arguments.messages)
    usual = sorted(traces, key=lambda trace: len(trace.stacks))[len(traces) // 2]
    lines = [*(walk(usual) if arguments.walk else ()), *report(usual)]
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
