"""B12: much mail waits for hosts that are dead, and fresh mail for a live one must not wait behind it."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from bench.processes import cpu_seconds
from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.backlog import EMPTY_QUEUE, fill
from bench.steady_load import TimedSink, send_steadily
from harness.dns_process import Dns
from harness.waiting import until

#: Messages a second of fresh mail.
_RATE = 50.0
#: A domain each whose host refuses connections, takes them and never speaks, and works.
_REFUSING, _SILENT, _LIVE = "refusing.test", "silent.test", "live.test"


@dataclass(frozen=True, slots=True)
class DeadDestinations:
    """Half of the waiting mail is for a host that refuses, half for one that never greets; the relay delivers by MX."""

    name: str = "B12"
    words: str = "100,000 messages waiting for dead hosts, 50 fresh ones a second"
    contenders: Sequence[str] = (RELAY, EMPTY_QUEUE)
    goals: Sequence[Goal] = (
        Goal("p99 ms", 1000, at_most=True),
        Goal("p99 ms", 1.5, at_most=True, against=EMPTY_QUEUE),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Start the relay with the backlog, which makes all of it due, and send fresh mail at once."""
        return fresh_mail(bench, 0 if contender == EMPTY_QUEUE else bench.amount(100_000, 5_000), {})


def fresh_mail(bench: Bench, waiting: int, more: Mapping[str, str]) -> Figures:
    """Measure fresh mail beside so many messages for dead hosts, through a relay with more settings."""
    seconds = bench.amount(20, 5)
    with TimedSink() as sink, _silent_host(sink.port), _names() as dns:
        settings = {
            "SMARTHOST_ADDRESS": "",
            "SMARTHOST_PORT": "",
            "SMARTHOST_TLS": "",
            "SMTPPORTOUT": str(sink.port),
            "PRIVATE_DESTINATIONS": "allow",
            "DNS_SERVERS": dns.setting,
            **more,
        }
        server = bench.server(RELAY, sink.port, relay=settings)
        fill(server, [waiting], to=[f"someone@{_REFUSING}", f"someone@{_SILENT}"])
        with server:
            cpu = cpu_seconds(server.pid)
            answered = send_steadily(server.port, f"someone@{_LIVE}", _RATE, int(_RATE * seconds))
            until(lambda: len(sink.arrived) == len(answered), 60, what="the last fresh message at the sink")
            cpu = cpu_seconds(server.pid) - cpu
    delays = [max(0.0, sink.arrived[token] - when) * 1000 for token, when in enumerate(answered)]
    cuts = quantiles(delays, n=100)
    return {"p99 ms": cuts[98], "p50 ms": cuts[49], "most ms": max(delays), "CPU s": cpu}


@contextmanager
def _names() -> Iterator[Dns]:
    """Run a DNS that knows the three domains, on addresses of their own."""
    with TemporaryDirectory() as folder:
        dns = Dns(Path(folder))
        for domain, address in ((_LIVE, "127.0.0.1"), (_REFUSING, "127.0.0.2"), (_SILENT, "127.0.0.3")):
            dns.mail_host(domain, address)
        with dns.child:
            until(lambda: "ready" in dns.child.text, what="the DNS server")
            yield dns


@contextmanager
def _silent_host(port: int) -> Iterator[None]:
    """Let the kernel accept connections at the silent host's address, and send no greeting on them."""
    with socket.create_server(("127.0.0.3", port), backlog=1000):
        yield


ROW = DeadDestinations()
