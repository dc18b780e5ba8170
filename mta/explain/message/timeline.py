"""Makes the time line of a message of the facts about it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mta.delivery.replies.common_replies import KnownReply
from mta.delivery.replies.meanings import meaning_of
from mta.explain.message.facts import MessageFacts
from mta.explain.message.page import RecipientPart, Step, StepKind
from mta.queue.entries import FIRST_ATTEMPTS
from mta.queue.ids import arrival_of
from mta.queue.interface import AttemptRecord, Entry, RecipientState, Status

#: The recipients whose steps are told, and the different replies whose meaning is looked for.
MAX_RECIPIENTS = 100
MAX_MEANINGS = 100

_ENDS = {
    Status.DELIVERED: (StepKind.DELIVERED, "delivered"),
    Status.FAILED: (StepKind.FAILED, "failed for good"),
    Status.REMOVED: (StepKind.REMOVED, "removed"),
}


def timeline(facts: MessageFacts, parts: Sequence[RecipientPart], submitted: str, held: str) -> tuple[Step, ...]:
    """Return the steps of the past in their order, then those that are expected; `parts` are the recipients."""
    entry, told = facts.entry, parts[:MAX_RECIPIENTS]
    arrival = arrival_of(entry.id, entry.created)
    past = [Step(StepKind.ACCEPTED, arrival, f"accepted, submitted {submitted}", message=entry.report_of)]
    if held:
        past.append(Step(StepKind.HELD, entry.held_since, f"held {held}"))
    meanings = _Meanings()
    past += _merged(step for part in told for step in _of_recipient(part.state, meanings))
    past += [Step(StepKind.REPORTED, each.created, _reported(each), message=each.id) for each in facts.reports]
    # The sort is stable, so that steps of the same second keep the order in which they were found.
    past.sort(key=lambda step: entry.created if step.time is None else step.time)
    coming = list(_merged(step for part in told for step in _expected(part)))
    coming.sort(key=lambda step: (step.kind is StepKind.GIVES_UP, step.time or 0.0))
    return (*past, *coming)


def _of_recipient(state: RecipientState, meanings: "_Meanings") -> Iterator[Step]:
    """Yield the steps of the past for one recipient."""
    made = list(state.attempts_made)
    end = _ENDS.get(state.status)
    last = made[-1] if end is not None and made and made[-1].reply == state.reply else None
    lost = state.attempts - len(made) - (end is not None and not made)
    for number, each in enumerate(made[: -1 if last else None]):
        if lost > 0 and number == FIRST_ATTEMPTS:
            yield Step(StepKind.NOT_RECORDED, made[number - 1].time, f"{lost} more attempts", (state.address,))
        yield _attempt(StepKind.ATTEMPT, each, "attempt", state.address, meanings)
    if end is None:
        return
    kind, text = end
    signed = f", {state.signed_by}" if state.signed_by and kind is StepKind.DELIVERED else ""
    if last is not None:
        yield replace(
            _attempt(kind, last, f"{text}{signed}", state.address, meanings), time=state.finished or last.time
        )
        return
    meaning = meanings.of(state.reply) if kind is StepKind.FAILED else None
    yield Step(kind, state.finished, f"{text}{signed}", (state.address,), state.host, state.reply, meaning)


def _attempt(kind: StepKind, each: AttemptRecord, text: str, recipient: str, meanings: "_Meanings") -> Step:
    meaning = None if kind is StepKind.DELIVERED else meanings.of(each.reply)
    return Step(
        kind, each.time, text, (recipient,), each.host, each.reply, meaning, each.tls, each.waited, each.transfer
    )


def _expected(part: RecipientPart) -> Iterator[Step]:
    recipients = (part.state.address,)
    if part.next is not None:
        yield Step(StepKind.NEXT, part.next.time, part.next.words, recipients)
    if part.gives_up is not None:
        yield Step(StepKind.GIVES_UP, part.gives_up, "the schedule ends, and the mail is returned", recipients)


def _reported(report: Entry) -> str:
    states = ", ".join(sorted({each.status.value for each in report.recipients}))
    return f"report to the sender added to the queue; it is {states}"


def _merged(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield each step once, with the recipients that share it."""
    shared: dict[Step, list[str]] = {}
    for step in steps:
        shared.setdefault(replace(step, recipients=()), []).extend(step.recipients)
    for step, recipients in shared.items():
        yield replace(step, recipients=tuple(recipients))


@dataclass(slots=True)
class _Meanings:
    """Finds the meaning of each reply once, and not of more replies than a bound, because each costs time."""

    found: dict[str, KnownReply | None] = field(default_factory=dict)

    def of(self, reply: str) -> KnownReply | None:
        """Return the usual meaning of a reply, or None."""
        if reply not in self.found and len(self.found) < MAX_MEANINGS:
            self.found[reply] = meaning_of(reply) if reply else None
        return self.found.get(reply)
