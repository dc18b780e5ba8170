"""A burst of mail to a provider that limits it: the time until all is delivered, and the number of refusals.

`python -m bench.throttle` sends messages at once through the relay, and through Postfix and Exim with their defaults
and with the settings that suit the provider best (`bench/limits.py`). All figures are kept in
bench/results/throttle.json, where a new run of a contender replaces its earlier one; the table shows all of them.

Before the provider of 20 messages an hour the relay's clocks run 60 times faster than true ones; the peers have no such
clocks, and stand before 20 a minute instead. A run is cut off after --seconds.
"""

import argparse
import fcntl
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import contenders
from bench.limits import PROVIDERS, Limit, Provider
from bench.load import Source, why_not
from bench.scripted import Host, Hosts
from bench.server import LeftOut, Place, Server

_ROOT = Path(__file__).parent.parent
_KEPT = _ROOT / "bench" / "results" / "throttle.json"
_BEST = " at its best"
_ALL = (contenders.RELAY, *(f"{peer}{how}" for peer in (contenders.POSTFIX, contenders.EXIM) for how in ("", _BEST)))

# The defaults of Postfix and Exim, where the bench otherwise lifts limits.
_POSTFIX = {
    "default_destination_concurrency_limit": "20",
    "initial_destination_concurrency": "5",
    "default_process_limit": "100",
    "in_flow_delay": "1s",
}
_EXIM = {
    "remote_max_parallel": "4",
    "smtp_accept_queue_per_connection": "10",
    "retry": "F,2h,15m; G,16h,1h,1.5; F,4d,6h",
}

#: How each contender tells of an attempt that did not succeed, and in which file of its home.
_DEFERRED: Mapping[str, tuple[str, str]] = {
    contenders.RELAY: ("log", r'"event": ?"deferred"'),
    contenders.POSTFIX: ("maillog", r"status=deferred"),
    contenders.EXIM: ("log/mainlog", r"^\S+ \S+ \S+ == "),
}


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one contender with a burst. Seconds are those of its own clock, which may be a fast one."""

    provider: str
    contender: str
    messages: int
    delivered: int
    seconds: float
    #: The seconds that the limit itself takes for this many messages.
    least: float
    #: Replies 4yz.
    refused: int
    #: Attempts that the contender records as deferred.
    deferred: int
    #: Reports to the sender.
    reports: int

    @property
    def key(self) -> str:
        """Which run this is: a later one with the same key replaces it."""
        return f"{self.provider}/{self.contender}/{self.messages}"


def table(runs: Sequence[Run]) -> str:
    """Return a Markdown table of the runs."""
    lines = [
        "| the provider takes | contender | delivered | seconds | times the least | refused | deferred | reports |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for run in runs:
        whole = run.delivered == run.messages
        ratio = f"{run.seconds / run.least:.2f}" if whole else "**unfinished**"
        delivered = f"{run.delivered:,} of {run.messages:,}"
        lines.append(
            f"| {run.provider} | {run.contender} | {delivered} | {run.seconds:,.0f} | {ratio} "
            f"| {run.refused:,} | {run.deferred:,} | {run.reports:,} |"
        )
    return "\n".join(lines) + "\n"


def ordered(runs: Mapping[str, Run]) -> Sequence[Run]:
    """Return the runs by provider, number of messages and contender."""
    names = [provider.name for provider in PROVIDERS]
    return sorted(runs.values(), key=lambda run: (names.index(run.provider), run.messages, _ALL.index(run.contender)))


def measure(provider: Provider, contender: str, messages: int, place: Callable[[int], Place], seconds: float) -> Run:
    """Send a burst through a contender and wait for its end, for so many true seconds at most.

    Raises LeftOut if the contender cannot be had here.
    """
    speed = provider.speed if contender == contenders.RELAY else 1.0
    limit = _hastened(provider.limit(), speed)
    with Hosts() as hosts:
        host = Host(limit)
        port = hosts.add(host, "127.0.0.1", 0)
        name = contender.removesuffix(_BEST)
        with _server(provider, contender, place(port), speed) as server:
            begun = time.monotonic()
            with Source(server.port, messages, octets=1024) as source:
                while not (_delivered(host) >= messages and source.ended) and time.monotonic() < begun + seconds:
                    time.sleep(0.1)
            delivered = _delivered(host)
            last = max((stored.at for stored in host.stored), default=begun)
            passed = (last if delivered >= messages else time.monotonic()) - begun
            # The records of the last deliveries come a little later.
            time.sleep(1)
            deferred = _counted(name, server)
        reports = sum(not stored.sender for stored in host.stored)
        least = provider.limit().least(messages)
        return Run(
            provider.name, contender, messages, delivered, passed * speed, least, host.refused, deferred, reports
        )


def _delivered(host: Host) -> int:
    return sum(bool(stored.sender) for stored in list(host.stored))


def _hastened(limit: Limit, speed: float) -> Limit:
    """Return a limit whose time passes as fast as the relay's."""
    if speed != 1.0:
        assert hasattr(limit, "seconds"), "only a limit of a period is long enough for a fast clock"
        limit.seconds /= speed
    return limit


def _server(provider: Provider, contender: str, place: Place, speed: float) -> Server:
    best = contender.endswith(_BEST)
    relay = {"LOG_FORMAT": "json"}
    if speed != 1.0:
        relay |= {"BENCH_SPEED": str(speed), "PYTHONPATH": f"{_ROOT / 'bench' / 'hooks'}:{_ROOT}"}
    postfix = {**_POSTFIX, **(provider.postfix if best else {})}
    exim = {**_EXIM, **(provider.exim if best else {})}
    return contenders.make(contender.removesuffix(_BEST), place, relay=relay, postfix=postfix, exim=exim)


def _counted(name: str, server: Server) -> int:
    """Return how many attempts a contender has recorded as deferred."""
    file, pattern = _DEFERRED[name]
    log = server.home / file
    return len(re.findall(pattern, log.read_text(errors="replace"), re.MULTILINE)) if log.exists() else 0


def main() -> int:
    """Measure, keep the figures and print the table. Returns the exit status."""
    options = _options()
    # SIGTERM unwinds like Ctrl-C: the contender is ended on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if reason := why_not():
        print(f"nothing measured: {reason}", file=sys.stderr)
        return 1
    for provider in PROVIDERS:
        for contender in options.contenders:
            if provider.name not in options.providers or not _together(provider, contender):
                continue
            try:
                run = measure(provider, contender, options.messages, options.place, options.seconds)
            except LeftOut as error:
                print(f"without {contender}: {error}", file=sys.stderr)
                continue
            _keep(run)
            print(table([run]).splitlines()[-1], flush=True)
    print(f"\n{table(ordered(_kept()))}")
    return 0


def _together(provider: Provider, contender: str) -> bool:
    """Whether a contender can stand before a provider: only the relay has a fast clock."""
    return contender == contenders.RELAY or provider.speed == 1.0


def _options() -> argparse.Namespace:
    names = [provider.name for provider in PROVIDERS]
    parser = argparse.ArgumentParser(prog="python -m bench.throttle", description=__doc__)
    parser.add_argument("--contenders", nargs="+", default=_ALL, choices=_ALL, metavar="NAME", help=", ".join(_ALL))
    parser.add_argument("--providers", nargs="+", default=names, choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--messages", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=600.0, help="when a run is cut off")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the queues lie")
    parser.add_argument("--cache", type=Path, default=_ROOT / ".cache" / "bench", help="where the peers' programs are")
    options = parser.parse_args()
    options.place = lambda port: Place(options.directory, options.cache.resolve(), port, {})
    return options


def _kept() -> dict[str, Run]:
    """Return the runs that are kept, by key."""
    if not _KEPT.exists():
        return {}
    return {key: Run(**fields) for key, fields in json.loads(_KEPT.read_text()).items()}


def _keep(run: Run) -> None:
    _KEPT.parent.mkdir(exist_ok=True)
    # Slow contenders may run side by side, a command each.
    with _KEPT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs = {**_kept(), run.key: run}
        _KEPT.write_text(json.dumps({key: asdict(one) for key, one in runs.items()}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
