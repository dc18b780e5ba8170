"""The time line of one message, without repetitions. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mta.explain.message.page import Step, StepKind

#: The words before the text of a step.
_WORDS = {
    StepKind.ACCEPTED: "Arrived",
    StepKind.HELD: "Held",
    StepKind.ATTEMPT: "Deferred",
    StepKind.NOT_RECORDED: "Not recorded",
    StepKind.DELIVERED: "Delivered",
    StepKind.FAILED: "Failed for good",
    StepKind.REMOVED: "Removed",
    StepKind.REPORTED: "Report to the sender",
    StepKind.NEXT: "Next attempt",
    StepKind.GIVES_UP: "Gives up",
}
# Beginnings of a text that its word tells already.
_TOLD = {
    StepKind.ACCEPTED: "accepted, ",
    StepKind.HELD: "held ",
    StepKind.ATTEMPT: "attempt",
    StepKind.DELIVERED: "delivered",
    StepKind.FAILED: "failed for good",
    StepKind.REMOVED: "removed",
    StepKind.REPORTED: "report to the sender ",
}
# A word of the command, which the page does not have.
_OF_COMMAND = "--dns"


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step as the page shows it."""

    step: Step
    #: Its name in a style sheet.
    kind: str
    word: str
    text: str
    #: Whether its reply and meaning are those of the attempt before.
    same: bool


def steps(timeline: Iterable[Step]) -> tuple[ShownStep, ...]:
    """Return the steps of a time line; a reply that comes again is told once."""
    return tuple(_steps(timeline))


def _steps(timeline: Iterable[Step]) -> Iterator[ShownStep]:
    said = ("", "")
    for step in timeline:
        same = bool(step.reply) and said == (step.host, step.reply)
        if step.reply:
            said = step.host, step.reply
        text = step.text.removeprefix(_TOLD.get(step.kind, "")).removeprefix(",").strip()
        shown = replace(step, host="", reply="", meaning=None) if same else step
        yield ShownStep(shown, step.kind.value.replace(" ", "-"), _WORDS[step.kind], text, same)


def notes(texts: Iterable[str]) -> tuple[str, ...]:
    """Return remarks about a message, without those about options of the command."""
    return tuple(text[:1].upper() + text[1:] for text in texts if _OF_COMMAND not in text)
