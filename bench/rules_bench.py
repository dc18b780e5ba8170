"""Measure the operator's rules alone: the decisions on one message, and the reading of files.

Usage: python -m bench.rules_bench [--seconds S]

Each figure is the least CPU time of many short runs, because other programs on the machine make runs longer and never
shorter. The decisions are on a message as smtp-source sends it, by the twenty rules of `bench.rule_files`.
"""

import argparse
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.rule_files import BY_RECIPIENT, TWENTY, many
from mta.config.rules.shorthands import read_rules
from mta.config.setting import SettingsReader
from mta.message.envelope import Envelope, Origin, Recipient
from mta.rules.book import RuleBook
from mta.rules.facts import Facts
from mta.smtp.address import parse_address

BLOCK = b"""\
From: <bench@example.test>\r
To: <someone@example.test>\r
Date: Sun, 22 Nov 2026 12:00:00 +0000 (UTC)\r
Message-Id: <0001.0002@example.test>\r
\r
"""
SENDER, RECIPIENT = parse_address("bench@example.test"), parse_address("someone@example.test")
ENVELOPE = Envelope(SENDER, (Recipient(RECIPIENT),), Origin("127.0.0.1", "example.test", "ESMTP"))
MANY_RECIPIENTS, MANY_RULES = 1000, 2000
# The shortest run.
_RUN_SECONDS = 0.002


def read(directory: Path) -> RuleBook:
    """Return the rules in a directory. Raises ValueError for a mistake in them."""
    reader = SettingsReader({"RULES_DIR": str(directory)})
    book, _ = read_rules(reader)
    if book is None:
        raise ValueError(f"the rules have mistakes: {reader.mistakes}")
    return book


def read_text(text: str) -> RuleBook:
    """Return the rules of a file with this text. Raises ValueError for a mistake in it."""
    with TemporaryDirectory() as directory:
        (Path(directory) / "10-rules.toml").write_text(text)
        return read(Path(directory))


def facts(**known: object) -> Facts:
    """Return the facts at one moment of a session of the bench's sender."""
    begun = {"client": "127.0.0.1", "trusted": True, "sender": SENDER, "helo": "example.test"}
    return Facts(**{**begun, **known})  # type: ignore[arg-type]  # by the names of its fields


def at_recipient(book: RuleBook) -> Callable[[], object]:
    acl, asked = book.acl, facts(recipient=RECIPIENT)
    assert acl is not None
    return lambda: acl.at_recipient(asked)


def at_data(book: RuleBook, recipients: int = 1) -> Callable[[], object]:
    acl = book.acl
    assert acl is not None
    accepted = [RECIPIENT, *(parse_address(f"user{number}@example.test") for number in range(1, recipients))]
    asked = facts(size=4096)

    def decide() -> object:
        # As if it had not been read before.
        asked.put_header(BLOCK)
        return acl.at_data(asked, accepted)

    return decide


def rewrite(book: RuleBook) -> Callable[[], object]:
    rewriting, begun = book.rewrite, facts()
    assert rewriting is not None
    return lambda: rewriting.apply(begun, ENVELOPE, BLOCK)


def rewrite_new(book: RuleBook) -> Callable[[], object]:
    """Return the rewriting of messages of which each has another author."""
    rewriting, begun, numbers = book.rewrite, facts(), count()
    assert rewriting is not None
    return lambda: rewriting.apply(begun, ENVELOPE, BLOCK.replace(b"bench", b"user%d" % next(numbers)))


def microseconds(work: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of one call among runs that together take so long."""
    number, best, ends = 1, float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends or best == float("inf"):
        begun = time.process_time()
        for _ in range(number):
            work()
        taken = time.process_time() - begun
        if taken < _RUN_SECONDS:
            number *= 2
        else:
            best = min(best, taken / number)
    return best * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    options = parser.parse_args()
    book = read_text(TWENTY)
    decisions = {"at RCPT": at_recipient(book), "after the data": at_data(book), "rewrite": rewrite(book)}
    taken = {name: microseconds(work, options.seconds) for name, work in decisions.items()}
    for name, each in (*taken.items(), ("one message", sum(taken.values()))):
        print(f"20 rules, {name:36} {each:10.2f} us", flush=True)
    new = microseconds(rewrite_new(book), options.seconds)
    print(f"20 rules, {'rewrite, each message of a new author':36} {new:10.2f} us", flush=True)
    after_data = microseconds(at_data(read_text(BY_RECIPIENT), MANY_RECIPIENTS), options.seconds)
    print(f"20 rules, {f'{MANY_RECIPIENTS} recipients after the data':36} {after_data / 1000:10.2f} ms", flush=True)
    with TemporaryDirectory() as directory:
        (Path(directory) / "10-rules.toml").write_text(many(MANY_RULES))
        reading = microseconds(lambda: read(Path(directory)), 3 * options.seconds)
    print(f"{f'{MANY_RULES} rules are read':46} {reading / 1000:10.2f} ms", flush=True)


if __name__ == "__main__":
    main()
