"""Some days of made-up traffic as values: the same messages for the same seed and end.

The mail follows the hours of business. One destination has been down for hours, one limits its rate, one batch waits
because somebody holds it, and some messages failed with replies that every operator knows.
"""

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.history import words
from mta.message.outcome import Delivered, Failed, Outcome, TryLater

HOUR, DAY = 3600.0, 86400.0
#: When the troubles began, in seconds before the end.
DOWN_FOR, THROTTLED_FOR, HELD_FOR = 7 * HOUR, 2.6 * HOUR, 4.4 * HOUR
HELD = 40
# The share of each hour of a working day, in UTC; the business is an hour ahead.
_HOURS = (2, 1, 1, 1, 2, 5, 14, 34, 58, 66, 62, 50, 44, 56, 64, 60, 48, 36, 26, 20, 16, 11, 7, 4)
_WEEKEND = 0.35


@dataclass(frozen=True)
class Attempt:
    """One attempt for a recipient: when it ended, its outcome, and the seconds of the transaction."""

    time: float
    outcome: Outcome
    tls: str = ""
    transfer: float = 0.4


@dataclass(frozen=True)
class To:
    """A recipient with the attempts made, and the time of the next one; None if the last attempt was final."""

    address: str
    attempts: tuple[Attempt, ...] = ()
    due: float | None = None

    @property
    def failed(self) -> Attempt | None:
        """The attempt that failed for good, if one did."""
        return next((attempt for attempt in self.attempts if isinstance(attempt.outcome, Failed)), None)


@dataclass(frozen=True)
class Sent:
    """A message. `report_of` is the one that it reports on; `removed` is when an operator removed it."""

    created: float
    sender: str
    to: tuple[To, ...]
    author: str
    subject: str
    client: str
    login: str = ""
    tls: str = ""
    octets: int = 2000
    held_since: float | None = None
    removed: float | None = None
    report_of: "Sent | None" = field(default=None, repr=False)


def days(
    end: float, *, messages: int = 20_000, number: int = 3, seed: int = 1, addresses: Mapping[str, str] | None = None
) -> list[Sent]:
    """Return the messages of so many days before a time, in the order of their arrival.

    The hosts of the domains have these addresses, by default those of `host_addresses`.
    """
    maker = _Maker(end, random.Random(seed), addresses or host_addresses())
    begun = end - number * DAY
    mails = [maker.mail(when) for when in _arrivals(begun, end, messages, maker.random)]
    mails += maker.batch(end - HELD_FOR)
    mails += [report for mail in mails for report in maker.reports(mail)]
    return sorted(mails, key=lambda mail: mail.created)


def host_addresses(network: str = "198.51.100.") -> dict[str, str]:
    """Return the address of each domain's mail host. The small domains share four."""
    large = {domain: f"{network}{index}" for index, domain in enumerate(words.DOMAINS, 1)}
    return large | {domain: f"{network}{200 + index % 4}" for index, domain in enumerate(words.SMALL_DOMAINS)}


def _arrivals(begun: float, end: float, messages: int, source: random.Random) -> list[float]:
    """Return times that follow the hours of business."""
    minutes = [begun + 60 * index for index in range(math.ceil((end - begun) / 60))]
    chosen = source.choices(minutes, [_share(minute) for minute in minutes], k=messages)
    return sorted(min(minute + source.random() * 60, end - 1) for minute in chosen)


def _share(when: float) -> float:
    hours, day = when / HOUR, int(when // DAY)
    low, high = _HOURS[int(hours) % 24], _HOURS[(int(hours) + 1) % 24]
    # The first of January 1970 was a Thursday.
    return (low + (high - low) * (hours % 1)) * (_WEEKEND if day % 7 in (2, 3) else 1.0)


def _retries(first: float) -> Iterator[float]:
    """Yield the times of the attempts after the first: each quarter of an hour, after two hours in growing steps."""
    yield from (first + 900 * index for index in range(1, 9))
    when, step = first + 2 * HOUR, HOUR
    while True:
        when, step = when + step, step * 1.5
        yield when


class _Maker:
    """Makes messages. `end` is the present."""

    def __init__(self, end: float, source: random.Random, addresses: Mapping[str, str]) -> None:
        self.end = end
        self.random = source
        self._numbers = itertools.count(48_210)
        self._addresses = addresses

    def mail(self, when: float) -> Sent:
        """Return a message of an ordinary sender."""
        senders = words.SENDERS
        (local, name, login, client, _, subjects) = self.random.choices(senders, [row[4] for row in senders])[0]
        count = 1 if self.random.random() < 0.9 else self.random.randint(2, 5)
        misspelt = self.random.random() < 0.002
        addresses = {self._address(self.random.choice(words.MISSPELT) if misspelt else "") for _ in range(count)}
        subject = self.random.choice(subjects).format(
            number=next(self._numbers), code=self.random.randint(100_000, 999_999)
        )
        removed = self.random.random() < 0.0006 and when + 600 < self.end
        return Sent(
            when,
            f"{local}@{words.HOME}",
            tuple((self._removed if removed else self._to)(address, when) for address in sorted(addresses)),
            f"{name} <{local}@{words.HOME}>",
            subject,
            client,
            login,
            self.random.choice(words.TLS[:2]) if login else "",
            int(min(60_000, self.random.lognormvariate(7.6, 0.9))) + 300,
            removed=when + 600 if removed else None,
        )

    def batch(self, when: float) -> list[Sent]:
        """Return the newsletter that somebody holds since a minute after it came."""
        local, name, login, client, subject = words.NEWSLETTER
        return [
            Sent(
                when + 0.2 * index,
                f"{local}@{words.HOME}",
                (To(self._address(), (), when),),
                f"{name} <{local}@{words.HOME}>",
                subject,
                client,
                login,
                words.TLS[0],
                18_400,
                held_since=when + 60,
            )
            for index in range(HELD)
        ]

    def reports(self, mail: Sent) -> Iterator[Sent]:
        """Yield the report about a message, if one of its recipients failed."""
        failures = [failed.time for to in mail.to if (failed := to.failed)]
        if failures and mail.removed is None:
            created = max(failures) + 0.1
            host = f"mail.{words.HOME}[10.20.0.2]:25"
            delivered = Attempt(created + 0.2, Delivered("250 2.0.0 Ok: queued as 7Hd02kQ", host), words.TLS[0])
            subject = "Mail delivery failed: returning message to sender"
            author = f"Mail Delivery System <MAILER-DAEMON@relay.{words.HOME}>"
            yield Sent(created, "", (To(mail.sender, (delivered,)),), author, subject, "", octets=3100, report_of=mail)

    def _address(self, domain: str = "") -> str:
        names = words.DOMAINS
        if not domain and self.random.random() < 0.86:
            domain = self.random.choices(list(names), list(names.values()))[0]
        return f"{self.random.choice(words.PEOPLE)}@{domain or self.random.choice(words.SMALL_DOMAINS)}"

    def _host(self, domain: str) -> str:
        return f"mx1.{domain}[{self._addresses[domain]}]:25"

    def _to(self, address: str, when: float) -> To:
        domain = address.partition("@")[2]
        if domain in words.MISSPELT:
            status, text = words.NO_DOMAIN
            return To(address, (Attempt(when + 0.2, Failed(text.format(domain=domain), "", status)),))
        begun = when + self.random.uniform(0.1, 1.2)
        if domain == words.DOWN and when > self.end - DOWN_FOR:
            outcome = TryLater(words.UNREACHABLE, self._host(domain), "4.4.1")
            return self._waiting(address, begun, outcome)
        if domain == words.THROTTLING and when > self.end - THROTTLED_FOR and self.random.random() < 0.7:
            return self._waiting(address, begun, TryLater(words.TOO_MUCH, self._host(domain), "4.7.28"))
        if self.random.random() < 0.024:
            first = TryLater(words.GREYLISTED.format(to=address), self._host(domain), "4.2.0")
            if begun + 900 > self.end:
                return self._waiting(address, begun, first)
            return To(address, (Attempt(begun, first, words.TLS[0]), self._final(address, begun + 900)))
        return To(address, (self._final(address, begun),))

    def _removed(self, address: str, when: float) -> To:
        """Return a recipient that is tried once, and waits until an operator removes it."""
        first = TryLater(words.GREYLISTED.format(to=address), self._host(address.partition("@")[2]), "4.2.0")
        return To(address, (Attempt(when + 1, first, words.TLS[0]),), when + 901)

    def _waiting(self, address: str, first: float, outcome: TryLater) -> To:
        """Return a recipient with the same failure at each attempt until now."""
        times = [first]
        for due in _retries(first):
            if due >= self.end:
                return To(address, tuple(Attempt(when, outcome) for when in times), due)
            times.append(due)
        raise AssertionError("the retries never end")

    def _final(self, address: str, when: float) -> Attempt:
        domain = address.partition("@")[2]
        tls = self.random.choices(words.TLS, (70, 20, 10))[0]
        if self.random.random() < 0.013:
            rows = words.FAILURES
            _, status, text = self.random.choices(rows, [row[0] for row in rows])[0]
            return Attempt(when, Failed(text.format(to=address, sender=words.HOME), self._host(domain), status), tls)
        queued = f"250 2.0.0 Ok: queued as {self.random.getrandbits(44):011X}"
        return Attempt(when, Delivered(queued, self._host(domain)), tls, self.random.uniform(0.08, 1.4))


def minutes(mails: Sequence[Sent], begun: float) -> dict[int, tuple[int, int, int, int]]:
    """Return the recipients accepted, delivered, failed and removed in each minute from a time on, by its beginning."""
    counts: dict[int, list[int]] = {}

    def add(when: float, place: int) -> None:
        if when >= begun:
            counts.setdefault(int(when // 60) * 60, [0, 0, 0, 0])[place] += 1

    for mail in mails:
        for to in mail.to:
            add(mail.created, 0)
            last = to.attempts[-1] if to.attempts else None
            if last is not None and isinstance(last.outcome, Delivered):
                add(last.time, 1)
            elif last is not None and isinstance(last.outcome, Failed):
                add(last.time, 2)
            elif mail.removed is not None:
                add(mail.removed, 3)
    return {minute: (row[0], row[1], row[2], row[3]) for minute, row in sorted(counts.items())}
