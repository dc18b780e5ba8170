"""Rule sets that replace each other under load: a ConfigMap, a file that is written in halves, and the sessions.

Each version of the rules shows its number in the words of its refusals, in a header field and in a mapped address, so
that a message which two versions had a part in is found.
"""

import random
import re
import shutil
import smtplib
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.daemon import Daemon
from tests.endtoend.mails import mail

#: The entries of the list and lines of the map of each version, so that their reading takes some time.
_FILLERS = 300
_NUMBER = re.compile(rb"(?:rules|list|data|half)[ -]([0-9]+)")
_TO, _DENIED, _HALF = (f"{name}@example.test" for name in ("bob", "denied", "half"))


def _files(version: int) -> dict[str, str]:
    """Return the files of a version. Each names something of another."""
    return {
        "10-acl.toml": f"""\
[lists]
senders-{version} = ["sender.test", {", ".join(f'"{number}.test"' for number in range(_FILLERS))}]
[[acl]]
recipient = "{_DENIED}"
deny = "rules {version}"
[[acl]]
header.X-Probe = "*"
deny = "data {version}"
""",
        "20-field.toml": f'[[rewrite]]\nsender = "+senders-{version}"\nadd.X-Rules = "rules {version}"\n',
        "30-map.toml": '[[rewrite]]\nmap = "file:{folder}/map"\nin = "reply_to"\n',
        "map": "".join(
            [f"{number}@map.test filler@map.test\n" for number in range(_FILLERS)]
            + [f"reply@map.test list-{version}@map.test\n"]
        ),
    }


class ConfigMap:
    """A directory of rules as Kubernetes mounts it: links to `..data`, which is a link to a version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.version = 0
        self.prepare()
        self.swap()
        for name in _files(0):
            (folder / name).symlink_to(f"..data/{name}")

    def _place(self, version: int) -> Path:
        return self.folder / f"..version_{version}"

    def prepare(self) -> None:
        """Write the next version beside the one in use."""
        place = self._place(self.version + 1)
        place.mkdir()
        for name, text in _files(self.version + 1).items():
            (place / name).write_text(text.replace("{folder}", str(self.folder)))

    def swap(self) -> None:
        """Put the prepared version in the place of the one in use by one rename, and delete that one."""
        self.version += 1
        new = self.folder / "..data_tmp"
        new.symlink_to(self._place(self.version).name)
        new.rename(self.folder / "..data")
        if self.version > 1:
            shutil.rmtree(self._place(self.version - 1))


class HalfWritten:
    """A file that is no part of the ConfigMap and is written in two halves, of which the first is a mistake."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "90-half.toml"
        self.version = 0

    def begin(self) -> None:
        """Write the first half."""
        self.version += 1
        text = (
            f'[[acl]]\nrecipient = "{_HALF}"\ndeny = "half {self.version}"\n'
            f'[[rewrite]]\nadd.X-Half = "half {self.version}"\n'
        )
        self._rest = text[-12:]
        self.path.write_text(text[:-12])

    def finish(self) -> None:
        """Write the second half."""
        with self.path.open("a") as file:
            file.write(self._rest)


@dataclass(frozen=True)
class Expected:
    """The versions that a message must have met: of the ConfigMap, and of the half-written file, None without it."""

    rules: int
    half: int | None


class Sessions:
    """Clients that each send over one connection as long as they can. A connection that ends early is a fault."""

    def __init__(self, relay: Daemon, number: int, seed: int) -> None:
        self.relay = relay
        self.faults: list[str] = []
        #: By token, what each accepted message must show.
        self.expected: dict[str, Expected] = {}
        self.refused = 0
        #: The versions that messages have met, with the number of their messages.
        self.versions: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(each, random.Random(seed + each))) for each in range(number)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int, moments: random.Random) -> None:
        count = 0
        try:
            with self.relay.client() as client:
                client.ehlo()
                while not self._over.is_set():
                    count += 1
                    self.send(client, f"{number}.{count}", moments)
        except (OSError, smtplib.SMTPException, AssertionError) as error:
            with self._lock:
                self.faults.append(f"session {number} ended at message {count}: {error!r}")

    def send(self, client: smtplib.SMTP, token: str, moments: random.Random) -> int:
        """Send one message slowly, so that rules change at each of its steps. Note and return the version that it met.

        Raises AssertionError if a reply is not the one wanted.
        """
        probe = moments.randrange(4) == 0
        client.mail("sender@sender.test")
        self._expect(client.rcpt(_TO), 250)
        self._pause(moments)
        rules = self._expect(client.rcpt(_DENIED), 550)
        self._pause(moments)
        code, words = client.rcpt(_HALF)
        half = _number(words) if code == 550 else None
        self._pause(moments)
        self._expect(client.docmd("DATA"), 354)
        self._pause(moments)
        fields = b"Reply-To: reply@map.test\r\n" + (b"X-Probe: yes\r\n" if probe else b"")
        message = fields + mail(token, (b"x" * 70 + b"\r\n") * 5)
        cut = moments.randrange(len(message))
        client.send(message[:cut])
        self._pause(moments)
        client.send(message[cut:] + b".\r\n")
        found = self._expect(client.getreply(), 550 if probe else 250)
        assert rules is not None
        with self._lock:
            self.versions[rules] += 1
            if not probe:
                self.expected[token] = Expected(rules, half)
                return rules
            self.refused += 1
            if found != rules:
                self.faults.append(f"{token}: a recipient was refused by rules {rules}, the data by {found}")
        return rules

    def _expect(self, reply: tuple[int, bytes], code: int) -> int | None:
        assert reply[0] == code, f"{reply} is not {code}"
        return _number(reply[1])

    def _pause(self, moments: random.Random) -> None:
        if moments.randrange(3):
            self._over.wait(moments.uniform(0, 0.008))


def _number(words: bytes) -> int | None:
    found = _NUMBER.search(words)
    return int(found[1]) if found else None


def _shown(content: bytes, name: bytes) -> int | None:
    field = re.search(rb"^" + name + rb": (.*)\r$", content, re.MULTILINE)
    return _number(field[1]) if field else None


def mixtures(expected: dict[str, Expected], contents: list[bytes]) -> list[str]:
    """Return a line for each message that another version had a part in than its replies said."""
    faults = []
    for content in contents:
        token = re.search(rb"^Message-ID: <(.*)@sender\.test>", content, re.MULTILINE)
        assert token, content
        wanted = expected[token[1].decode()]
        shown = _shown(content, b"X-Rules"), _shown(content, b"Reply-To"), _shown(content, b"X-Half")
        if shown != (wanted.rules, wanted.rules, wanted.half):
            faults.append(f"{token[1].decode()}: {wanted}, and field, map and half are those of {shown}")
    return faults


class Idle:
    """Connections that are silent for long, and send a message now and then."""

    def __init__(self, sessions: Sessions, number: int, seed: int) -> None:
        self._sessions = sessions
        self._moments = random.Random(seed)
        self._clients = [sessions.relay.client() for _ in range(number)]
        self._count = 0
        for client in self._clients:
            client.ehlo()

    def versions(self) -> set[int]:
        """Send a message over each connection, and return the versions that they met.

        Raises SMTPException if a connection has ended, and AssertionError for any other reply than those wanted.
        """
        self._count += 1
        return {
            self._sessions.send(client, f"idle{number}.{self._count}", self._moments)
            for number, client in enumerate(self._clients)
        }


class Outcomes:
    """Counts the readings of changed rules by the lines of the log, of which each is read once."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._position = 0
        self._rest = b""
        self.taken_up = 0
        self.refused = 0

    def look(self) -> int:
        """Read the new lines, and return the number of all outcomes so far."""
        with self._log.open("rb") as file:
            file.seek(self._position)
            new = self._rest + file.read()
            self._position = file.tell()
        lines, _, self._rest = new.rpartition(b"\n")
        self.taken_up += lines.count(b'"event": "rules"')
        self.refused += lines.count(b"not taken up")
        return self.taken_up + self.refused
