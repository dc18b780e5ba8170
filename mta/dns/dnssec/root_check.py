"""Finds out whether answers can be validated at all: name servers exist that strip signatures."""

import enum
from collections.abc import Callable, Hashable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.dns.answers import LookupFailed
from mta.dns.dnssec.authenticity import Authenticity, Security, ValidatedAnswer
from mta.dns.message import RecordType

#: Seconds between two checks while signatures are stripped, and while no DNS server answers.
CHECK_INTERVAL = 300.0
NO_ANSWER_INTERVAL = 10.0

_ROOT = ""
_log = Logger()


class _State(enum.Enum):
    """Whether answers can be validated."""

    UNKNOWN = "unknown"
    WORKS = "works"
    STRIPPED = "stripped"


class RootCheck:
    """An Authenticity that gives the answers of `validator` once the root's keys are secure, and until then of `plain`.

    The keys are asked for at start, and again when `source`, for example the list of name servers, has another value.
    As long as they are not secure, another check follows every CHECK_INTERVAL, and `notice` gets one line. After the
    keys were secure once, missing signatures are bogus, since an attacker can strip them. As long as no server answers,
    look-ups fail.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        validator: Authenticity,
        plain: Authenticity,
        source: Callable[[], Hashable],
        notice: Callable[[str], object],
    ) -> None:
        self._reactor = reactor
        self._validator = validator
        self._plain = plain
        self._source = source
        self._notice = notice
        self._state = _State.UNKNOWN
        self._known: Hashable = None
        self._waiting: list[Deferred[None]] = []
        self._checking = self._stopped = False
        self._next: IDelayedCall | None = None
        self._told = False

    @property
    def usable(self) -> bool:
        """Whether answers can be secure now, as far as that is known."""
        self._follow()
        return self._validator.usable and self._state is not _State.STRIPPED

    def start(self) -> None:
        """Begin the first check."""
        self._validator.start()
        self._plain.start()
        self._follow()

    def stop(self) -> None:
        """End the checks."""
        self._stopped = True
        self._cancel_next()
        self._validator.stop()
        self._plain.stop()

    async def look_up(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        """Return the records of a name, after the first check; see `Authenticity`."""
        self._follow()
        while self._checking and self._state is _State.UNKNOWN:
            checked: Deferred[None] = Deferred()
            self._waiting.append(checked)
            await checked
        if self._state is _State.STRIPPED or not self._validator.usable:
            return await self._plain.look_up(name, rdtype)
        return await self._validator.look_up(name, rdtype)

    def _follow(self) -> None:
        """Begin the first check, and another one if there are other name servers since."""
        source = (self._source(), self._validator.usable)
        if self._stopped or source == self._known:
            return
        self._known = source
        self._state = _State.UNKNOWN
        self._check()

    def _check(self) -> None:
        self._cancel_next()
        if self._validator.usable and not self._checking:
            self._checking = True
            Deferred.fromCoroutine(self._check_root(self._known)).addErrback(self._failed)

    async def _check_root(self, source: Hashable) -> None:
        try:
            found = await self._validator.look_up(_ROOT, RecordType.DNSKEY)
            # Any server answers this question, which needs no DNSSEC.
            silent = found.security is not Security.SECURE and isinstance(
                (await self._plain.look_up(_ROOT, RecordType.MX)).answer, LookupFailed
            )
            if source == self._known and not self._stopped:
                self._settle(found, silent=silent)
        finally:
            self._checking = False
            if source != self._known and not self._stopped:
                self._check()
            if not self._checking:
                self._let_go()

    def _failed(self, failure: Failure) -> None:
        _log.failure("the keys of the root could not be checked", failure)
        if not self._stopped and not self._checking:
            self._next = self._reactor.callLater(CHECK_INTERVAL, self._check)

    def _let_go(self) -> None:
        """Have the look-ups go on that wait for a check."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)

    def _settle(self, found: ValidatedAnswer, *, silent: bool) -> None:
        """Take the result of a check."""
        if found.security is Security.SECURE:
            self._state = _State.WORKS
            if self._told:
                self._told = False
                self._notice("DNS answers can be validated now: DANE is on")
            return
        if not silent:
            self._state = _State.STRIPPED
            self._tell(found.reason)
        self._next = self._reactor.callLater(NO_ANSWER_INTERVAL if silent else CHECK_INTERVAL, self._check)

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            self._notice(
                f"DANE is off, because the answers of the DNS servers cannot be validated: {reason}. The relay tries"
                f" again every {CHECK_INTERVAL / 60:.0f} minutes; DNS_SERVERS can name a resolver with DNSSEC"
            )

    def _cancel_next(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None
