"""An hour of everything at once: `make soak MINUTES=60`, the relay at half its top rate, 1 % of the mail in trouble.

Clients, hosts and log are looked after by processes of their own and must agree in the end, message by message, with
each other and with the relay's ledger; meanwhile the daemon's memory and descriptors must not grow. Ends with status 0
if all is well, and with 1 and the reasons if not; Ctrl-C ends early and reports on the run so far. Samples go to
.cache/soak.
"""

import argparse
import json
import os
import random
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.daemon import ROOT, Daemon
from harness.dns_process import Dns
from harness.processes import Child, free_port
from harness.waiting import PATIENCE, until
from tests.survival.kills_queue import ledger, marked, waiting
from tests.survival.soak_books import Audit, Books, Count, audit
from tests.survival.soak_operator import Certificates, Operator, all_well
from tests.survival.soak_plan import NOBODYS, number_of
from tests.survival.soak_watch import Apart, Gauges, Log, PipedChild, judge

SESSIONS = 20
#: Messages a second that no run of this relay passes: room in the books.
_MOST = 6000
#: Lines of messages in trouble that a kill may take with it: those of the last moment.
_UNLOGGED = 10
_MIB = 1 << 20


#: Parts of the run at which the daemon is ended and started. Early and late, so that a long stretch between them shows
#: whether memory is flat.
_STOPS = (
    (0.03, "SIGTERM"),
    (0.06, "SIGKILL"),
    (0.09, "SIGTERM"),
    (0.12, "SIGKILL"),
    (0.92, "SIGTERM"),
    (0.96, "SIGKILL"),
)


@dataclass(frozen=True)
class Options:
    """The plan of a run. Times are seconds; `rate` None is half of the rate that is measured first."""

    seconds: float
    rate: int | None
    seed: int
    folder: Path
    one_in: int = 100
    measuring: float = 20.0
    #: Seconds between samples, and after how many a life of the daemon counts for the trend.
    every: float = 10.0
    warm: float = 300.0
    #: How long a message is tried.
    schedule: float = 180.0
    history: float = 300.0
    operator_pause: float = 8.0
    stops: Sequence[tuple[float, str]] = _STOPS
    #: The run goes on until the relay has accepted so many messages, though its time is over.
    least: int = 0


class Soak:
    """One run."""

    def __init__(self, options: Options, stack: ExitStack, say: Callable[[str], None] = print) -> None:
        self.options = options
        self.faults: list[str] = []
        self.rate = options.rate or 0
        self.top = 0.0
        #: Seconds that it was under load.
        self.lasted = 0.0
        self._say = say
        self._over = threading.Event()
        capacity = int((options.seconds + options.measuring) * (options.rate or _MOST) * 1.2) + 10_000
        shared = options.folder / "books"
        shared.mkdir()
        self.books = Books(shared, capacity)
        self.log = Log(self.books)
        stack.callback(self.log.close)
        self.dns = Dns(options.folder)
        all_well(self.dns)
        self.dns.child = Apart(self.dns.child.command, self.dns.child.output, self.dns.child.environment)
        certificates = Certificates(options.folder / "tls")
        self._port_out = free_port()
        self.daemon = self._daemon(certificates)
        self.gauges = Gauges(self.books, self.log, self.daemon.queue_dir)
        self.operator = Operator(
            self.daemon, self.dns, certificates, self.books, seed=options.seed, pause=options.operator_pause
        )
        common = [str(shared), str(capacity), str(options.seed), str(options.one_in)]
        self._sink = self._child(stack, "soak_sink", [*common, str(self._port_out)])
        until(lambda: "ready" in self._sink.text, what="the hosts")
        stack.enter_context(self.dns.child)
        until(lambda: "ready" in self.dns.child.text, what="the DNS server")
        stack.enter_context(self.daemon)
        self._clients = self._child(stack, "soak_client", [*common, str(self.daemon.port), str(SESSIONS)])

    def _child(self, stack: ExitStack, module: str, arguments: Sequence[str]) -> Child:
        command = [sys.executable, "-m", f"tests.survival.{module}", *arguments]
        output = self.options.folder / f"{module}.log"
        return stack.enter_context(Apart(command, output, {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}))

    def _daemon(self, certificates: Certificates) -> Daemon:
        daemon = Daemon(
            self.options.folder / "relay",
            DNS_SERVERS=self.dns.setting,
            # These have no signatures, which each start would tell.
            DNSSEC="off",
            SMTPPORTOUT=str(self._port_out),
            PRIVATE_DESTINATIONS="allow",
            OTHER_HOSTNAMES=NOBODYS,
            RETRY_SCHEDULE=f"F,{int(self.options.schedule)}s,2s",
            # One fault of the clients is a false end of data.
            LINE_ENDINGS="strict",
            HISTORY_DAYS=f"{self.options.history / 86400:.6f}",
            **certificates.settings,
        )
        daemon.mail_dir.mkdir(exist_ok=True)
        daemon.child = PipedChild(daemon.child.command, self.log, daemon.environment)
        return daemon

    def run(self) -> None:
        """Send, disturb and watch, to the end or until interrupted."""
        begun = time.monotonic()
        try:
            if not self.rate:
                self._measure()
            self.books.counts[Count.RATE] = self.rate
            self.operator.start()
            self._disturb()
        except KeyboardInterrupt:
            self._say("interrupted: what was so far is reported")
        except Exception as error:  # noqa: BLE001 (after any early end the results so far are reported)
            self.faults.append(f"it ended early: {error!r}")
        self.lasted = time.monotonic() - begun
        self.books.counts[Count.OVER] = 1

    def _measure(self) -> None:
        """Find the top rate: messages that arrive a second while the clients send as fast as they can."""
        arrived = self.books.counts
        self._over.wait(3)
        before, begun = arrived[Count.SENT], time.monotonic()
        self._over.wait(self.options.measuring)
        self.top = (arrived[Count.SENT] - before) / (time.monotonic() - begun)
        self.rate = max(1, int(self.top / 2))
        self._say(f"top rate: {self.top:.0f} messages a second; going on with {self.rate}")

    def _disturb(self) -> None:
        begun = time.monotonic()
        stops = [(begun + part * self.options.seconds, how) for part, how in self.options.stops]
        told = sampled = begun
        while (now := time.monotonic()) < begun + self.options.seconds or stops or self._too_few():
            if stops and now >= stops[0][0]:
                self.restart(stops.pop(0)[1])
            for child in (self._clients, self._sink, self.daemon.child):
                if not child.running:
                    raise RuntimeError(f"{' '.join(child.command[:4])} ended by itself: {child.text[-2000:]}")
            if now - sampled >= self.options.every:
                sampled = now
                seen = self.gauges.sample(self.daemon.child.pid)
                if now - told >= 60:
                    told = now
                    self._progress(seen)
            self._over.wait(min(0.5, self.options.every))

    def _too_few(self) -> bool:
        return self.books.counts[Count.SENT] < self.options.least

    def _progress(self, seen: dict[str, Any]) -> None:
        self._say(
            f"{seen['at'] / 60:6.1f} min: {seen['accepted']} accepted, {seen['arrived']} arrived,"
            f" {seen['client_faults'] + seen['remote_faults']} faults, {seen['behind']} behind;"
            f" {seen['resident'] / _MIB:.1f} MiB, {seen['descriptors']} descriptors,"
            f" file {seen['file'] / _MIB:.0f} MiB, log {seen['wal'] / _MIB:.0f} MiB; unexpected lines"
            f" {self.log.counts['unexpected']}"
        )

    def restart(self, how: str) -> None:
        """Stop or kill the daemon, start it, and see that each mark it left is an event."""
        with self.operator.absent:
            if how == "SIGTERM":
                status = self.daemon.stop()
                if status:
                    self.faults.append(f"SIGTERM ended with status {status}")
            else:
                self.daemon.kill()
            left = marked(self.daemon.queue_dir).total()
            self.log.found = 0
            before = self.log.counts["started"]
            self.daemon.start()
        self._say(f"{how} and start: {left} recipients marked")
        until(lambda: self.log.counts["started"] > before, what="the line that says that it has started")
        if self.log.found != left:
            self.faults.append(f"{left} recipients were marked and {self.log.found} were told of after {how}")

    def finish(self) -> Audit:
        """Let everything come to its end, and look at every recipient."""
        for step in (self._clients.wait, self.operator.stop, self._drain, self._stop):
            try:
                step()
            except Exception as error:  # noqa: BLE001 (one that fails must not keep the others from being done)
                self.faults.append(f"it did not end well: {error!r}")
        self.books.counts[Count.OVER] = 2
        self._sink.wait()
        home = self.daemon.queue_dir
        result = audit(self.books, {number for address in waiting(home) if (number := number_of(address)) is not None})
        self._compare(result, ledger(home))
        return result

    def _stop(self) -> None:
        if self.daemon.stop():
            self.faults.append("the last SIGTERM did not end well")

    def _drain(self) -> None:
        home = self.daemon.queue_dir
        until(lambda: not ledger(home)["waiting"], self.options.schedule + PATIENCE, what="an empty queue")
        self.operator.check_ledger()
        self.gauges.sample(self.daemon.child.pid)

    def _compare(self, result: Audit, counted: dict[str, int]) -> None:
        faults = self.faults
        faults += result.faults or []
        faults += self.operator.faults
        most = _UNLOGGED * sum(how == "SIGKILL" for _, how in self.options.stops)
        if result.unlogged > most:
            faults.append(f"{result.unlogged} duplicates are not in the log; kills may have cost {most} lines")
        if self.log.counts["unexpected"]:
            faults.append(f"{self.log.counts['unexpected']} unexpected lines, the first: {self.log.unexpected[0]}")
        for name in ("fault", "not JSON"):
            if self.log.counts[name]:
                faults.append(f"{self.log.counts[name]} lines in the log are {name}")
        if self.books.counts[Count.WRONG]:
            words = self._clients.text[:2000]
            faults.append(f"{self.books.counts[Count.WRONG]} answers to clients were wrong: {words}")
        faults += compare(result, counted, self.books.counts[Count.REPORTS])


def compare(result: Audit, counted: dict[str, int], reports: int) -> list[str]:
    """Return the differences between the relay's ledger and the test's books. Both also count reports' recipients."""
    known = {
        "accepted": result.accepted + result.unheard + reports,
        "delivered": result.delivered + reports,
        "failed": result.failed,
        "removed": result.removed,
        "waiting": result.waiting,
    }
    return [
        f"ledger: {name} {counted[name]}, and the test knows of {count}"
        for name, count in known.items()
        if abs(counted[name] - count) > (result.ambiguous if name != "accepted" else 0)
    ]


def table(soak: Soak, result: Audit) -> list[str]:
    """Return the report's lines."""
    counts = {count.name.lower(): soak.books.counts[count] for count in Count}
    rows = {
        "seconds": round(soak.lasted),
        "seed": soak.options.seed,
        "top rate": round(soak.top),
        "rate": soak.rate,
        "messages accepted a second": round(counts["sent"] / soak.lasted),
        **{name: value for name, value in asdict(result).items() if name != "faults"},
        "faults of clients": counts["client_faults"],
        "faults of hosts": counts["remote_faults"],
        "reports": counts["reports"],
        "refused messages": counts["refused"],
        "connections lost by clients": counts["lost"],
        "messages behind the pace": counts["behind"],
        "connections of hosts": counts["connections"],
        **{f"operator: {name}": count for name, count in sorted(soak.operator.done.items())},
        **{f"log: {name}": count for name, count in sorted(soak.log.counts.items())},
    }
    return [f"{name:<32}{value:>16}" for name, value in rows.items()]


def keep(soak: Soak, result: Audit, folder: Path) -> Path:
    """Write all that was seen as JSON, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    seen = {
        "seed": soak.options.seed,
        "seconds": soak.lasted,
        "top": soak.top,
        "rate": soak.rate,
        "audit": asdict(result),
        "faults": soak.faults,
        "events": dict(soak.log.counts),
        "unexpected": soak.log.unexpected,
        "operator": dict(soak.operator.done),
        "lives": soak.gauges.lives,
    }
    path.write_text(json.dumps(seen))
    return path


def soak(options: Options, say: Callable[[str], None] = print) -> tuple[Soak, Audit]:
    """Do a whole run."""
    with ExitStack() as stack:
        run = Soak(options, stack, say)
        run.run()
        result = run.finish()
    findings, faults = judge(run.gauges.lives, options.warm, options.seconds / 4)
    for finding in findings:
        say(finding)
    run.faults += faults
    return run, result


def main() -> int:
    """Run, report, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, help="messages a second; half the top rate if not given")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 32))
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "soak")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    folder = given.cache / f"run-{os.getpid()}"
    folder.mkdir(parents=True)
    options = Options(
        given.minutes * 60, given.rate, given.seed, folder, schedule=max(20.0, min(180.0, given.minutes * 6))
    )
    print(f"seed {given.seed}", flush=True)
    try:
        run, result = soak(options, lambda words: print(words, flush=True))
        print("\n".join(table(run, result)))
        print(f"samples: {keep(run, result, given.cache)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for fault in run.faults[:50]:
        print(f"FAULT: {fault}")
    print(f"{len(run.faults)} faults" if run.faults else "all is well")
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
