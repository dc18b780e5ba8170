"""Measure an operator's searches on a queue file with a long history.

Usage: python -m bench.search_bench [--directory DIR] [--messages N] [--days N]

The history is spread evenly over the days. Each message has one recipient in one of 500 domains, and one in a hundred
has failed. A search is measured on a new connection, as a command has it, with the file in the page cache. Then the
command itself is measured beside a running relay.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from harness.daemon import Daemon
from harness.history.million import fill
from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.interface import Query
from mta.queue.search.conditions import Conditions, State
from mta.queue.sqlite.queue import SqliteQueue, open_queue

_HOUR = 3600.0
_DAYS = 7.0


def result(waiting: object) -> object:
    """Return the result of a Deferred that has fired."""
    return getattr(waiting, "result", None)


def searches(now: float) -> dict[str, tuple[Conditions, bool]]:
    """Return the searches by name, each with its conditions, and whether it only counts."""
    delivered = Conditions(recipient="*@dest7.test", states=(State.DELIVERED,), since=now - _HOUR)
    everything = Conditions(recipient="*@dest7.test", states=(State.DELIVERED,))
    return {
        "--to '*@dest7.test' --status delivered --since 1h": (delivered, False),
        "--to '*@dest7.test' --status delivered": (everything, False),
        "--to '*@dest7.test' --status delivered --count": (everything, True),
        "--to user7@dest999.test (no match)": (Conditions(recipient="user7@dest999.test"), False),
        "--subject 'number 4711 ' --count": (Conditions(subject="number 4711 "), True),
        "--message-id 20261129.4711@client.a.test": (Conditions(message_id="20261129.4711@client.a.test"), False),
        "a bare word": (Conditions(words=("20261129.4711@",)), False),
        "--status failed --since 8d": (Conditions(states=(State.FAILED,), since=now - 192 * _HOUR), False),
        "--status failed --domain nobody.test (no match)": (
            Conditions(states=(State.FAILED,), domain="nobody.test"),
            False,
        ),
        "--status held": (Conditions(states=(State.HELD,)), False),
    }


def measured(directory: Path, search: Callable[[SqliteQueue], object], now: float) -> float:
    """Return the seconds of a search on a queue that is opened for it."""
    queue = open_queue(directory, run=run_inline, now=now, create=False, recover=False)
    started = time.perf_counter()
    search(queue)
    taken = time.perf_counter() - started
    queue.close()
    return taken


def command_times(home: Path, queue_dir: Path, words: Sequence[str]) -> list[float]:
    """Return the seconds of a command, from its start to its end, beside a relay that runs on this queue."""
    times = []
    with Daemon(home, QUEUE_DIR=str(queue_dir), HISTORY_DAYS="30") as relay:
        for _ in range(5):
            started = time.perf_counter()
            done = relay.tool(*words)
            times.append(time.perf_counter() - started)
            if done.returncode:
                raise SystemExit(done.stderr)
    return times


def main() -> None:
    """Fill a queue and print the time of each search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=_DAYS)
    arguments = parser.parse_args()
    now = time.time()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="smtprelay-search-") as folder:
        directory = Path(folder) / "queue"
        fill(directory, arguments.messages, arguments.days, now)
        size = (directory / FILE_NAME).stat().st_size
        print(f"{arguments.messages} messages of {arguments.days} days, {size >> 20} MiB")
        for name, (conditions, only_count) in searches(now).items():
            query = Query(finished=True, limit=100, conditions=conditions, newest_first=True)

            def search(queue: SqliteQueue, conditions=conditions, query=query, only_count=only_count) -> object:
                return queue.count(conditions, finished=True) if only_count else queue.find(query)

            times = [measured(directory, search, now) for _ in range(3)]
            print(f"{min(times) * 1000:8.1f} ms  {name}")
        words = ("queue", "find", "--to", "*@dest7.test", "--status", "delivered", "--since", "1h", "--json")
        taken = command_times(Path(folder) / "relay", directory, words)
        print(f"{median(taken) * 1000:8.1f} ms  smtprelay {' '.join(words)}  (beside a running relay)")


if __name__ == "__main__":
    main()
