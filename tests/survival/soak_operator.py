"""An operator who never rests: looks at the queue, holds, releases, removes and retries, renews the certificate.

Also plays the DNS, of which a part fails now and then.
"""

import json
import random
import smtplib
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.certificates import Leaf, self_signed
from harness.daemon import Daemon
from harness.dns_process import Dns
from harness.waiting import PATIENCE, until
from tests.survival.soak_books import Books
from tests.survival.soak_plan import DOMAINS, SENDERS, number_of
from tests.survival.soak_sink import host
from tests.survival.soak_watch import ledger_of

_TTL = 2
_MOST_HELD = 20


def mail_host(dns: Dns, domain: str, address: str) -> None:
    """Give a domain one MX host."""
    name = f"mx.{domain}"
    dns.add({domain: {"MX": [[10, name]], "TTL": _TTL}, name: {"A": [address], "TTL": _TTL}})


def all_well(dns: Dns) -> None:
    """Give every domain of the plan its host."""
    for number, domain in enumerate(DOMAINS):
        mail_host(dns, domain, host(number))
    mail_host(dns, SENDERS, host(0))


class Certificates:
    """A certificate and its key, renewed both at once: their folder is a link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.leaf: Leaf
        self.renew()

    @property
    def settings(self) -> dict[str, str]:
        """The call that tells the daemon of them."""
        current = self._folder / "current"
        return {"CERTIFICATE_PATH": str(current / "server.pem"), "KEY_PATH": str(current / "server.key")}

    def renew(self) -> None:
        """Put a new pair in place of the old."""
        self._count += 1
        new = self._folder / str(self._count)
        new.mkdir(parents=True)
        self.leaf = self_signed(["relay.example.test"])
        self.leaf.write(new)
        link = self._folder / "new"
        link.symlink_to(new.name)
        link.replace(self._folder / "current")


class Operator:
    """Acts while the daemon is up: hold `absent` to stop or start it."""

    def __init__(
        self, daemon: Daemon, dns: Dns, certificates: Certificates, books: Books, *, seed: int, pause: float
    ) -> None:
        self.absent = threading.Lock()
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self._daemon = daemon
        self._dns = dns
        self._certificates = certificates
        self._books = books
        self._random = random.Random(seed)
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, with everything released and healed."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        all_well(self._dns)
        self.release()

    def _work(self) -> None:
        actions: list[Callable[[], None]] = [
            self.look,
            self.check_ledger,
            self.check_health,
            self.retry,
            self.hold,
            self.hold,
            self.remove,
            self.release,
            self.renew,
            self.break_dns,
        ]
        while not self._over.wait(self._random.uniform(0, 2 * self._pause)):
            action = self._random.choice(actions)
            with self.absent:
                try:
                    action()
                except Exception as error:  # noqa: BLE001 (every failure of an action is reported)
                    self.faults.append(f"{action.__name__}: {error!r}")
            self.done[action.__name__] += 1

    def _tool(self, *words: str, fine: tuple[int, ...] = (0,)) -> str:
        done = self._daemon.tool(*words)
        if done.returncode not in fine or "Traceback" in done.stderr:
            self.faults.append(f"smtprelay {' '.join(words)}: status {done.returncode}: {done.stderr[-500:]}")
        return done.stdout

    def _queue(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self._tool("queue", "list", "--json") or "[]")
        return listed

    def look(self) -> None:
        """List the queue and show one message of it."""
        entries = self._queue()
        if entries:
            self._tool("queue", "show", self._random.choice(entries)["id"])

    def ledger(self) -> dict[str, int]:
        """Return the ledger; a ledger that does not add up is a fault."""
        ledger = ledger_of(self._tool("queue", "summary", "--json"))
        if ledger["accepted"] != sum(ledger[name] for name in ("delivered", "failed", "removed", "waiting")):
            self.faults.append(f"the ledger does not add up: {ledger}")
        return ledger

    def check_ledger(self) -> None:
        """Look whether the ledger adds up in the middle of everything."""
        self.ledger()

    def check_health(self) -> None:
        """Ask whether all is well."""
        self._tool("health")

    def retry(self) -> None:
        """Try all that waits now."""
        self._tool("queue", "retry", "--all")

    def hold(self) -> None:
        """Hold a few of those that wait."""
        # Those that were tried before stay for a while.
        free = [entry["id"] for entry in self._queue() if not entry["held"] and entry["recipients"][0]["attempts"]]
        if free:
            # One may be delivered before it is held.
            self._tool("queue", "hold", *self._random.sample(free, min(3, len(free))), fine=(0, 1))

    def release(self) -> None:
        """Let all that are held go on."""
        held = [entry["id"] for entry in self._queue() if entry["held"]]
        if held:
            self._tool("queue", "release", *held)

    def remove(self) -> None:
        """Remove one of the held messages, if it is not claimed and not a report."""
        self.hold()
        still = [entry for entry in self._queue() if entry["held"] and not entry["in_delivery"] and entry["sender"]]
        if not still:
            return
        entry = self._random.choice(still)
        if f"{entry['id']} removed" not in self._tool("queue", "remove", entry["id"]):
            return
        for state in entry["recipients"]:
            number = number_of(state["address"])
            if state["status"] == "waiting" and number is not None:
                self._books.add(self._books.removed, number)

    def renew(self) -> None:
        """Renew the certificate and see it served."""
        self._certificates.renew()
        wanted = self._certificates.leaf.certificate.public_bytes
        until(lambda: self._served() == ssl.PEM_cert_to_DER_cert(_pem(wanted)), 20, what="the renewed certificate")

    def _served(self) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", self._daemon.port, "client.test", timeout=PATIENCE) as client:
            client.starttls(context=context)
            assert isinstance(client.sock, ssl.SSLSocket)
            return client.sock.getpeercert(binary_form=True) or b""

    def break_dns(self) -> None:
        """Have questions about one domain fail or go unanswered for some seconds."""
        domain = self._random.choice(DOMAINS)
        self._dns.add({domain: {"FAIL": self._random.choice(["SERVFAIL", "SILENCE"])}})
        self._over.wait(self._random.uniform(2, 6))
        mail_host(self._dns, domain, host(DOMAINS.index(domain)))


def _pem(public_bytes: Callable[..., bytes]) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return public_bytes(Encoding.PEM).decode()
