"""The commands among which an operator may choose for one message. Pure."""

from collections.abc import Iterator

from mta.delivery.replies.meanings import meaning_of
from mta.explain.message.facts import MessageFacts
from mta.explain.message.page import Choice
from mta.queue.interface import Action, RecipientState, Status

# By command of `smtprelay queue`: its words behind the id, and its effect.
_WAITING = {
    "retry": ("", "try it now"),
    "hold": ("", "keep it back until it is released"),
    "reroute": (" --to HOST:PORT", "send it another way, once"),
    "bounce": ("", "return it to its sender now, with a report"),
    "remove": ("", "delete it, without a report"),
}
_HELD = {"release": ("", "let it go on"), "bounce": _WAITING["bounce"], "remove": _WAITING["remove"]}
_ACTIONS = {each.value: each for each in Action}
_DKIM = "dkim"


def choices_for(facts: MessageFacts) -> tuple[Choice, ...]:
    """Return the commands for a message."""
    return tuple(_choices(facts))


def _choices(facts: MessageFacts) -> Iterator[Choice]:
    entry = facts.entry
    waiting = [each for each in entry.recipients if each.status is Status.WAITING]
    if waiting:
        for name, (words, effect) in (_HELD if entry.held else _WAITING).items():
            if name in _ACTIONS:
                yield Choice(f"smtprelay queue {name} {entry.id}{words}", effect, _ACTIONS[name])
        yield Choice(f"smtprelay queue show {entry.id} --header", "read its header")
    if any(map(_concerns_dkim, entry.recipients)):
        yield Choice("smtprelay dkim check", "compare the DKIM keys with the DNS")
    yield from _for_domains(facts)
    for report in facts.reports:
        yield Choice(f"smtprelay explain {report.id}", "explain the report to the sender", message=report.id)
    if entry.report_of:
        about = "explain the message that this report is about"
        yield Choice(f"smtprelay explain {entry.report_of}", about, message=entry.report_of)


def _for_domains(facts: MessageFacts) -> Iterator[Choice]:
    """Yield the commands for other mail that waits for the same domains."""
    for others in facts.neighbours:
        command = f"smtprelay queue find --domain {others.domain} --status waiting"
        yield Choice(command, "list all mail that waits for it")


def _concerns_dkim(state: RecipientState) -> bool:
    if state.status not in (Status.WAITING, Status.FAILED) or not state.reply:
        return False
    found = meaning_of(state.reply)
    return found is not None and _DKIM in f"{found.meaning} {found.remedy}".lower()
