"""Two hosts for each domain, of which the first answers badly: the place of the message, and the time.

`python -m bench.hosts` runs the same scripts against the relay, Postfix and Exim. Each contender lives in a network of
its own with a DNS server on port 53, where each case has a domain with two MX hosts on port 25. All messages are sent
at once, and the table says where each is some seconds later. It takes root, and about a minute and a half.
"""

import argparse
import json
import smtplib
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import contenders
from bench.scripted import CLOSE, SILENCE, Host, Hosts, Plain, Step
from bench.server import LeftOut, Place, Server
from harness.certificates import self_signed
from harness.network import Network, NoNetworkError
from harness.processes import Child
from harness.waiting import until

_ROOT = Path(__file__).parent.parent
#: All time-outs of outgoing sessions, in seconds: RFC 5321 asks for minutes.
TIMEOUT = 3
_SERVED = "198.51.100.0/24"
_SENDERS_HOST = "198.51.100.250"
_ALL = (contenders.RELAY, contenders.POSTFIX, contenders.EXIM)

_FAULTS = {
    "4yz": "451 4.3.0 not now",
    "421": "421 4.3.2 closing",
    "close": CLOSE,
    "time-out": SILENCE,
    "5yz": "550 5.0.0 never",
}
#: Octets of a message, and of one that is cut off.
_SMALL, _LARGE = 1024, 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Case:
    """The first host of a domain answers like this at a step; a number makes names and addresses."""

    number: int
    step: Step
    fault: str

    @property
    def domain(self) -> str:
        """The domain of the recipient."""
        return f"case{self.number}.test"

    @property
    def sender(self) -> str:
        """The sender, for the report if there is one."""
        return f"case{self.number}@sender.test"

    @property
    def addresses(self) -> tuple[str, str]:
        """The addresses of the first and of the second host."""
        return f"198.51.100.{2 * self.number}", f"198.51.100.{2 * self.number + 1}"

    @property
    def octets(self) -> int:
        """The size of the message."""
        return _LARGE if self.step is Step.BODY else _SMALL


@dataclass(frozen=True, slots=True)
class FaultAt:
    """The script of a first host."""

    step: Step
    answer: str
    pause: float = 0.0

    def reply(self, step: Step, session: int, now: float) -> str:  # noqa: ARG002
        """Return the fault at its step."""
        return self.answer if step is self.step else ""

    def over(self, session: int) -> None:
        """Ignore the end of a transaction: this script counts no transactions."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a message was seen: at the first or the second host, or as a report at the sender's."""

    where: str
    seconds: float
    #: At the host of STARTTLS: whether the message came over TLS.
    encrypted: bool = True


def cases() -> Sequence[Case]:
    """Return all cases. Within the body there is no time for a reply other than 421."""
    pairs = [
        (step, fault) for step in Step for fault in _FAULTS if step is not Step.BODY or fault not in {"4yz", "5yz"}
    ]
    return [Case(number, step, fault) for number, (step, fault) in enumerate(pairs, 1)]


def zone(chosen: Sequence[Case]) -> Mapping[str, Mapping[str, object]]:
    """Return the records of all domains."""
    records: dict[str, Mapping[str, object]] = {
        "sender.test": {"MX": [[10, "mx.sender.test"]]},
        "mx.sender.test": {"A": [_SENDERS_HOST]},
    }
    for case in chosen:
        first, second = case.addresses
        records[case.domain] = {"MX": [[10, f"first.{case.domain}"], [20, f"second.{case.domain}"]]}
        records[f"first.{case.domain}"] = {"A": [first]}
        records[f"second.{case.domain}"] = {"A": [second]}
    return records


def table(seen: Mapping[str, Mapping[int, Sequence[Seen]]], chosen: Sequence[Case]) -> str:
    """Return a Markdown table, a row a step and a column a fault, of where the messages of all contenders were seen."""
    names = list(seen)
    faults = list(dict.fromkeys(case.fault for case in chosen))
    lines = [f"| {' / '.join(names)} | {' | '.join(faults)} |", f"|---{'|---' * len(faults)}|"]
    for step in dict.fromkeys(case.step for case in chosen):
        numbers = {case.fault: case.number for case in chosen if case.step is step}
        cells = [
            _cell({name: seen[name].get(numbers[fault], ()) for name in names}) if fault in numbers else ""
            for fault in faults
        ]
        lines.append(f"| {step.value} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(seen: Mapping[str, Sequence[Seen]]) -> str:
    """Return the place and the seconds of each contender, and the names where the places differ."""
    places = {name: " and ".join(_place(one) for one in messages) or "**waits**" for name, messages in seen.items()}
    seconds = {name: ", ".join(f"{one.seconds:.1f}" for one in messages) for name, messages in seen.items()}
    if len(set(places.values())) == 1:
        return f"{next(iter(places.values()))} {' / '.join(seconds.values())}".rstrip(" /")
    return "; ".join(f"{name}: {places[name]} {seconds[name]}".rstrip() for name in seen)


def _place(seen: Seen) -> str:
    return seen.where if seen.encrypted else f"{seen.where} in clear"


def measure(
    contender: str, chosen: Sequence[Case], directory: Path, cache: Path, seconds: float
) -> dict[int, list[Seen]]:
    """Send a message for each case through a contender and return where they were after some seconds, by case.

    Raises LeftOut if the contender cannot be had here, NoNetworkError if no network can be made.
    """
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        network.ip("route", "add", "local", _SERVED, "dev", "lo")
        stack.enter_context(network.entered())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(_names(folder, chosen))
        hosts = stack.enter_context(Hosts())
        tls = _context(folder)
        at = {address: _host(case, index, tls) for case in chosen for index, address in enumerate(case.addresses)}
        senders = Host(Plain())
        for address, host in (*at.items(), (_SENDERS_HOST, senders)):
            hosts.add(host, address, 25)
        files = {"resolv.conf": b"nameserver 127.0.0.1\n"}
        server = stack.enter_context(_server(contender, Place(directory, cache, 25, files)))
        begun = _send(server.port, chosen)
        _wait(chosen, at, senders, seconds)
        return {case.number: [*_seen(case, at, senders, begun[case.number])] for case in chosen}


def _server(contender: str, place: Place) -> Server:
    """Return a contender that delivers by MX and waits TIMEOUT seconds for any reply."""
    relay = {
        "SMARTHOST_ADDRESS": "",
        "SMARTHOST_PORT": "",
        "SMARTHOST_TLS": "",
        "PRIVATE_DESTINATIONS": "allow",
        "DNS_SERVERS": "127.0.0.1:53",
        "BENCH_TIMEOUT": str(TIMEOUT),
        "PYTHONPATH": f"{_ROOT / 'bench' / 'hooks'}:{_ROOT}",
    }
    waits = ("connect", "helo", "starttls", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit")
    postfix = {f"smtp_{wait}_timeout": f"{TIMEOUT}s" for wait in waits}
    postfix |= {"relayhost": "", "disable_dns_lookups": "no", "smtp_tls_security_level": "may"}
    exim = {f"smtp: {wait}_timeout": f"{TIMEOUT}s" for wait in ("connect", "command", "data")}
    exim |= {"smtp: final_timeout": f"{TIMEOUT}s", "router: driver": "dnslookup"}
    return contenders.make(contender, place, relay=relay, postfix=postfix, exim=exim)


@contextmanager
def _names(folder: Path, chosen: Sequence[Case]) -> Iterator[None]:
    """Run the DNS server of the network."""
    (folder / "zone.json").write_text(json.dumps(zone(chosen)))
    command = [sys.executable, "-m", "harness.dns_server", "--port", "53", "--zone", str(folder / "zone.json")]
    with Child(command, folder / "dns.log", {"PYTHONPATH": str(_ROOT)}) as child:
        until(lambda: "ready" in child.text, what="the DNS server")
        yield


def _context(folder: Path) -> ssl.SSLContext:
    certificate, key = self_signed(["host.test"]).write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _host(case: Case, index: int, tls: ssl.SSLContext) -> Host:
    script = Plain() if index else FaultAt(case.step, _FAULTS[case.fault])
    return Host(script, tls if case.step is Step.STARTTLS and not index else None)


def _send(port: int, chosen: Sequence[Case]) -> dict[int, float]:
    """Send all messages over one connection, and return when each was accepted."""
    begun = {}
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=60) as client:
        for case in chosen:
            line = "x" * 70 + "\r\n"
            content = f"Subject: {case.number}\r\n\r\n" + line * (case.octets // len(line))
            begun[case.number] = time.monotonic()
            client.sendmail(case.sender, [f"someone@{case.domain}"], content)
    return begun


def _wait(chosen: Sequence[Case], at: Mapping[str, Host], senders: Host, seconds: float) -> None:
    """Wait until each message was seen somewhere or the time is up, then a little longer for surplus copies."""

    def all_seen() -> bool:
        return all([*_seen(case, at, senders, 0.0)] for case in chosen)

    deadline = time.monotonic() + seconds
    while not all_seen() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(2 * TIMEOUT)


def _seen(case: Case, at: Mapping[str, Host], senders: Host, begun: float) -> Iterator[Seen]:
    for where, address in zip(("first", "second"), case.addresses, strict=True):
        for stored in at[address].stored:
            encrypted = stored.encrypted or case.step is not Step.STARTTLS or where == "second"
            yield Seen(where, stored.at - begun, encrypted)
    for stored in senders.stored:
        if case.sender in stored.recipients:
            yield Seen("returned", stored.at - begun)


def main() -> int:
    """Run the cases against each contender and print the table. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.hosts", description=__doc__)
    parser.add_argument("--contenders", nargs="+", default=_ALL, choices=_ALL, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a message is waited for")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the queues lie")
    parser.add_argument("--cache", type=Path, default=_ROOT / ".cache" / "bench", help="where the peers' programs are")
    options = parser.parse_args()
    chosen = cases()
    seen: dict[str, Mapping[int, Sequence[Seen]]] = {}
    for contender in options.contenders:
        try:
            seen[contender] = measure(contender, chosen, options.directory, options.cache.resolve(), options.seconds)
        except (LeftOut, NoNetworkError) as error:
            print(f"without {contender}: {error}", file=sys.stderr)
    print(table(seen, chosen))
    return 0 if seen else 1


if __name__ == "__main__":
    sys.exit(main())
