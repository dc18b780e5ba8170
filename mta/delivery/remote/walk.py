"""A delivery attempt as a walk over the hosts of a destination (RFC 5321 section 5.1). Pure.

A recipient that a host neither accepts nor rejects permanently goes on to the next host in the same attempt. The walk
ends after the last host, or at the same limits as in Postfix: five addresses, and two sessions that got past EHLO.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from mta.delivery.remote.commands import NO_REQUIRETLS
from mta.delivery.remote.interface import TransactionResult
from mta.delivery.replies.throttling import throttle_of
from mta.fast_value import fast_value
from mta.message.outcome import Failed, Outcome, TryLater
from mta.queue.interface import Pending
from mta.routing.route import Plan, Route

#: Addresses that one attempt tries once a host has answered, including those tried to open the host's connection.
MOST_ADDRESSES = 5
#: Sessions past EHLO in one attempt.
MOST_SESSIONS = 2


@fast_value(frozen=True, slots=True)
class Walk:
    """The completed part of an attempt: the hosts that were tried, and the last answer for each recipient."""

    #: Labels of the routes.
    tried: frozenset[str] = frozenset()
    #: The number of sessions that got past EHLO.
    sessions: int = 0
    #: Whether a session stayed usable after a transaction, or hit a limit: the destination then is not down.
    answered: bool = False
    #: By recipient index.
    answers: Mapping[int, TryLater] = field(default_factory=dict)
    #: By recipient index: refusals because of a limit, which do not count as failed attempts.
    limits: Mapping[int, TryLater] = field(default_factory=dict)
    #: By recipient index: the answers of the host before the one that `answers` are from.
    earlier: Mapping[int, TryLater] = field(default_factory=dict)
    #: Labels of the hosts that do not offer REQUIRETLS, which the message must have.
    lacking: frozenset[str] = frozenset()

    def after(self, tried: frozenset[str], result: TransactionResult, *, usable: bool) -> "Walk":
        """Return the walk after one more transaction, over a connection for which the routes in `tried` were tried."""
        answers = {index: each for index, each in result.outcomes.items() if isinstance(each, TryLater)}
        limits = {index: each for index, each in answers.items() if throttle_of(each) is not None}
        answered = self.answered or usable or bool(limits)
        lacking = frozenset(each.host for each in answers.values() if _lacks_requiretls(each))
        # A session that carries no mail costs the host little.
        sessions = self.sessions if lacking else self.sessions + 1
        return Walk(
            self.tried | tried,
            sessions,
            answered,
            answers,
            {**self.limits, **limits},
            self.answers,
            self.lacking | lacking,
        )

    def unreached(self, failure: TryLater) -> "Walk":
        """Return the walk after the next host could not be reached. A failure that names no host changes no answer."""
        if not failure.host:
            return self
        return replace(self, answers=dict.fromkeys(self.answers, failure), earlier=self.answers)

    def next_routes(self, plan: Plan, passed_over: Iterable[str] = ()) -> Sequence[Route]:
        """Return the routes to try next, in order; empty at the end of the walk. `passed_over` holds labels to skip."""
        return () if self.sessions >= MOST_SESSIONS else untried(plan, self.tried.union(passed_over))

    def final_answers(self, plan: Plan) -> Mapping[int, Outcome]:
        """Return the answers at the end of the walk.

        A message that must have REQUIRETLS fails once all hosts were asked and none offers it (RFC 8689 section 4.2.1).
        """
        if not self.lacking or not self.tried <= self.lacking or untried(plan, self.tried):
            return self.answers
        return {
            index: Failed(f"{each.text}; no other host is left", each.host, f"5{each.status[1:]}")
            if _lacks_requiretls(each)
            else each
            for index, each in self.answers.items()
        }


def _lacks_requiretls(answer: TryLater) -> bool:
    return answer.status == NO_REQUIRETLS and answer.reply is None


#: The walk before any host has answered.
FIRST_STEP = Walk()


def untried(plan: Plan, tried: frozenset[str]) -> Sequence[Route]:
    """Return the routes of a plan that were not `tried`, as many as an attempt may still try."""
    if not tried:
        return plan.routes
    rest = [route for route in plan.routes if route.label not in tried]
    return rest[: max(0, MOST_ADDRESSES - len(tried))]


@fast_value(frozen=True, slots=True)
class SortedRecipients:
    """The recipients of a transaction, by their next step."""

    #: Recipients with a final outcome for this attempt.
    decided: tuple[Pending, ...]
    #: Recipients that another host may accept.
    undecided: tuple[Pending, ...]
    #: Recipients that the same host accepts in another transaction.
    excess: tuple[Pending, ...]


def sort_out(recipients: Sequence[Pending], result: TransactionResult) -> SortedRecipients:
    """Sort the recipients of a completed transaction by their next step."""
    beyond = result.excess.recipients if result.excess is not None else frozenset[int]()
    decided: list[Pending] = []
    undecided: list[Pending] = []
    excess: list[Pending] = []
    for each in recipients:
        if each.index in beyond:
            excess.append(each)
        elif is_open(result.outcomes[each.index]):
            undecided.append(each)
        else:
            decided.append(each)
    return SortedRecipients(tuple(decided), tuple(undecided), tuple(excess))


def is_open(outcome: Outcome) -> bool:
    """Whether another host may accept the mail, because the reason for the delay is a host and not this relay."""
    return isinstance(outcome, TryLater) and outcome.host != ""


def unsent(result: TransactionResult) -> frozenset[int]:
    """Return the indexes of the recipients that certainly got no copy by a transaction.

    These are the recipients that a reply refused, or all recipients with TryLater if the message was not fully sent.
    """
    refused = frozenset(
        index
        for index, outcome in result.outcomes.items()
        if isinstance(outcome, TryLater) and (outcome.reply is not None or not result.fully_sent)
    )
    return refused | result.excess.recipients if result.excess is not None else refused
