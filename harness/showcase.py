"""A relay with three days of made-up mail behind it, and more coming in, for the page's tests and its pictures."""

import itertools
import smtplib
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Self

from harness.daemon import Daemon
from harness.dns_process import Dns
from harness.history import words
from harness.history.days import days, host_addresses
from harness.history.writing import content, write, write_traffic
from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import until

#: The network of the mail hosts, all of whose addresses are those of this host.
LOOPBACK = "127.9.0."
# Messages of which those that come in while the relay runs are chosen.
_LIVE = 400


class Showcase:
    """A running relay, `relay`, and its world. Use as a context manager.

    One destination is down, one limits its rate, and a batch is held. Mail comes in after `begin_traffic`.
    """

    def __init__(
        self,
        home: Path,
        now: float,
        *,
        messages: int = 20_000,
        network: str = LOOPBACK,
        out_port: int = 0,
        from_clients: bool = False,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`now` is the present of the history. `from_clients`: the clients' own addresses are those of this host."""
        self._stack = ExitStack()
        self._addresses = host_addresses(network)
        self._port = out_port
        self._from_clients = from_clients
        self._dns = Dns(home)
        self._mails = days(now, messages=messages, addresses=self._addresses)
        self._live = itertools.cycle(days(now, messages=_LIVE, number=1, seed=2)[-_LIVE:])
        self._stop = threading.Event()
        common = {
            "MAILNAME": f"relay.{words.HOME}",
            "PRIVATE_DESTINATIONS": "allow",
            "DNS_SERVERS": self._dns.setting,
            "RELAY_NETWORKS": "10.20.0.0/16",
            "HISTORY_DAYS": "30",
        }
        self.relay = Daemon(home / "relay", **{**common, **settings})
        self.relay.port = int(self.relay.environment["PORT"])
        write(self.relay.queue_dir, self._mails, now)
        write_traffic(self.relay.queue_dir, self._mails, now)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._dns.child)
        until(lambda: "ready" in self._dns.child.text or not self._dns.child.running, what="the DNS server")
        names = [(f"mx1.{domain}", domain, address) for domain, address in self._addresses.items()]
        self._dns.add({domain: {"MX": [[10, host]]} for host, domain, _ in names})
        self._dns.add({host: {"A": [address]} for host, _, address in names})
        self._dns.mail_host(words.HOME, self._addresses[words.SMALL_DOMAINS[0]])
        # Nothing listens at the address of the one that is down.
        for address in sorted({address for _, domain, address in names if domain != words.DOWN}):
            rules = [Rule("RCPT", words.TOO_MUCH)] if address == self._addresses[words.THROTTLING] else []
            sink = Sink(rules, address=address, port=self._port)
            self._stack.enter_context(sink)
            self._port = sink.port
        self.relay.environment["SMTPPORTOUT"] = str(self._port)
        self._stack.enter_context(self.relay)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._stack.close()

    def send(self, number: int = 1) -> None:
        """Submit messages as the clients would."""
        for _ in range(number):
            mail = next(self._live)
            source = mail.client if self._from_clients and mail.client else "127.0.0.1"
            with smtplib.SMTP("127.0.0.1", self.relay.port, f"app.{words.HOME}", source_address=(source, 0)) as client:
                client.sendmail(
                    mail.sender, [to.address for to in mail.to], content(mail, f"{time.time()}@{words.HOME}")
                )

    def begin_traffic(self, every: float = 0.5) -> None:
        """Submit a message each so many seconds until the end."""

        def run() -> None:
            while not self._stop.wait(every):
                self.send()

        thread = threading.Thread(target=run)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(self._stop.set)
