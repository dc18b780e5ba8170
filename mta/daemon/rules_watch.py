"""Puts changed rules in force while the relay runs: on SIGHUP, and when their files have changed.

All files are read as one, in a thread. Rules with a mistake change nothing.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.blocking import RunBlocking, run_inline
from mta.config.rules.reading import RulesReading
from mta.coroutines import start
from mta.event_log.log import EventLog
from mta.file_states import Changes, FileStates
from mta.message.dates import short_timestamp
from mta.rules.book import CurrentRules, RuleBook

#: Seconds between two calls of `RulesWatch.look`.
LOOK_INTERVAL = 10.0

_log = Logger()


class RulesWatch:
    """Replaces the rules in force by those in the files."""

    def __init__(
        self,
        rules: CurrentRules,
        files: FileStates,
        read: Callable[[], RulesReading],
        *,
        run: RunBlocking,
        wall_clock: Callable[[], float],
        event_log: EventLog,
    ) -> None:
        """`rules` were just read from `files`. `read` reads them again, which `run` does in a thread."""
        self._rules = rules
        self._read_all = read
        self._run = run
        self._wall_clock = wall_clock
        self._event_log = event_log
        self._changes = Changes(files, wall_clock())
        # The files of the rules in force, and the time since which those are.
        self._files = files
        self._since = wall_clock()
        # The files and mistakes of the last reading that had mistakes.
        self._refused: tuple[FileStates, tuple[str, ...]] | None = None
        # Whether files are looked at or read now, and whether the operator has asked for a reading.
        self._busy = False
        self._asked = False

    def look(self) -> "Deferred[Any]":
        """Look at the files without reading them, and read all of them if they have changed for good.

        The result fires when that is done.
        """
        return succeed(None) if self._busy else Deferred.fromCoroutine(self._work(look=True))

    def reload(self) -> None:
        """Read all files now. The outcome is logged, also if nothing has changed."""
        self._asked = True
        if not self._busy:
            start(self._work(look=False), _log_bug)

    async def _work(self, *, look: bool) -> None:
        self._busy = True
        try:
            if look and await self._have_changed():
                await self._read(asked=False)
            while self._asked:
                self._asked = False
                await self._read(asked=True)
        finally:
            self._busy = False

    async def _have_changed(self) -> bool:
        known = self._changes.known
        # A relay without rules needs no thread for its one look.
        run = run_inline if known.all_absent else self._run
        return self._changes.are_over(await run(known.look))

    async def _read(self, *, asked: bool) -> None:
        reading = await self._run(self._read_all)
        self._changes.read(reading.files, self._wall_clock())
        if reading.mistakes:
            self._refuse(reading, asked=asked)
        else:
            self._refused = None
            self._take_up(reading, asked=asked)

    def _take_up(self, reading: RulesReading, *, asked: bool) -> None:
        old, new = self._rules.book, reading.book
        # The digest does not tell of a changed password, and the file's state does not tell of the variables.
        if _digest(old) != _digest(new) or reading.files.contents != self._files.contents:
            self._since = self._wall_clock()
            self._rules.replace(new)
        elif not asked:
            self._files = reading.files
            return
        self._files = reading.files
        for notice in reading.notices:
            self._event_log.notice(notice)
        if old is not None or new is not None:
            self._event_log.rules_taken_up(f"{_count(new)} in force", _digest(new))

    def _refuse(self, reading: RulesReading, *, asked: bool) -> None:
        """Log the mistakes, once for each change of the files."""
        refused = reading.files, reading.mistakes
        if refused == self._refused and not asked:
            return
        self._refused = refused
        mistakes = _number(len(reading.mistakes), "mistake")
        text = f"the new rules are not taken up: {mistakes}; {self._stay()}"
        self._event_log.rules_not_taken_up(text, reading.mistakes)

    def _stay(self) -> str:
        if self._rules.book is None:
            return "the relay stays without rules"
        since, now = map(short_timestamp, (self._since, self._wall_clock()))
        day, _, time = since.removesuffix("Z").partition("T")
        return f"those of {time if now.startswith(day) else f'{day} {time}'} stay"


def _digest(book: RuleBook | None) -> str | None:
    return None if book is None else book.digest


def _count(book: RuleBook | None) -> str:
    """Return the number of rules in words, with the verb."""
    places = [] if book is None else [rule.where for rule in book.rules]
    files = [place.file for place in places if place.line]
    counts = []
    if files:
        counts.append(f"{_number(len(files), 'rule')} in {_number(len(set(files)), 'file')}")
    if len(files) < len(places):
        counts.append(f"{_number(len(places) - len(files), 'rule')} of variables")
    return f"{' and '.join(counts) or 'no rules'} {'is' if len(places) == 1 else 'are'}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _log_bug(failure: Failure | None) -> None:
    if failure is not None:
        _log.failure("the rules could not be read again", failure)
