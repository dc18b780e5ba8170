"""The reports with which an operator returns messages to their senders."""

import secrets
from collections.abc import Callable, Sequence

from mta.message import dsn
from mta.message.body import MemoryBody
from mta.message.envelope import Notify
from mta.message.outcome import Discarded
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, Description, NewMail, Verdict

#: The reason that the sender reads.
REASON = "returned to the sender by the operator of this relay"


class OperatorReports:
    """Makes reports of failure; `name` is the relay's host name. `unreported` counts messages that bring none."""

    def __init__(
        self, name: str, wall_clock: Callable[[], float], token: Callable[[], str] = lambda: secrets.token_hex(12)
    ) -> None:
        self._name = name
        self._wall_clock = wall_clock
        self._token = token
        self._ids = IdSource()
        #: Messages without a report, because they have the null sender or asked for none.
        self.unreported = 0

    def __call__(self, claim: Claim, verdicts: Sequence[Verdict]) -> Sequence[NewMail]:
        """Return the report that the sender must get, if any."""
        now = self._wall_clock()
        id = self._ids.new(now)
        results = [
            dsn.ReportedRecipient(claim.envelope.recipients[verdict.index], verdict.outcome)
            for verdict in verdicts
            if not isinstance(verdict.outcome, Discarded)
        ]
        original = dsn.OriginalMessage(claim.id, claim.envelope, claim.body, claim.created)
        identity = dsn.ReportIdentity(self._name, id, self._token(), now)
        report = dsn.make_report(Notify.FAILURE, original, results, identity)
        if report is None:
            self.unreported += 1
            return ()
        envelope, message = report
        return (NewMail(id, envelope, MemoryBody(message), description=Description(report_of=claim.id)),)
