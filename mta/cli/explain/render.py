"""Prints explanations for a reader: each stage with its decisions."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from mta.explain.values import Explanation, MailVerdict, Moment, RouteVerdict
from mta.explain.words import carried_words, retry_lines, route_words

_STAGE_WIDTH = 11
_MAX_PASSED_OVER = 10
_WHEN = {
    Moment.EHLO: "at EHLO",
    Moment.MAIL: "at MAIL",
    Moment.RCPT: "at RCPT",
    Moment.DATA: "after the data",
}


def as_lines(explanation: Explanation) -> Iterator[str]:
    """Yield the lines for a reader: the name of each stage, and beside it what is decided."""
    yield from _stage("acl", _merged((each.recipient, _acl_words(each)) for each in explanation.acl))
    yield from _passed_over(explanation.acl)
    yield from _stage("rewrite", (f"{each.rule}: {'; '.join(each.changes)}" for each in explanation.rewrite))
    if explanation.router:
        yield from _stage("router", _merged((each.recipient, route_words(each)) for each in explanation.router))
        yield from _passed_over(explanation.router)
        yield from _stage("tls", dict.fromkeys(line for each in explanation.router for line in each.demands))
        yield from _stage("transport", _merged((each.recipient, carried_words(each)) for each in explanation.transport))
        yield from _stage("retry", retry_lines(explanation.retry))
    for hint in explanation.hints:
        yield f"note: {hint}"


def _stage(name: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"{name:{_STAGE_WIDTH}}{line}"
        name = ""


def _passed_over(decisions: Iterable[MailVerdict | RouteVerdict]) -> Iterator[str]:
    """Yield a line for each rule that was asked and does not apply, up to a number of lines."""
    told = list(dict.fromkeys(text for decision in decisions for text in decision.passed_over))
    for text in told[:_MAX_PASSED_OVER]:
        yield f"{'':{_STAGE_WIDTH}}passes over {text}"
    if len(told) > _MAX_PASSED_OVER:
        yield f"{'':{_STAGE_WIDTH}}and {len(told) - _MAX_PASSED_OVER} more rules (--json lists them)"


def _merged(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each run of subjects with the same words. One run for all subjects names no subject."""
    runs = [(words, [subject for subject, _ in run]) for words, run in groupby(pairs, lambda pair: pair[1])]
    for words, subjects in runs:
        named = ", ".join(filter(None, subjects))
        yield f"{named}: {words}" if named and len(runs) > 1 else words


def _acl_words(decision: MailVerdict) -> str:
    moment = "" if decision.moment is Moment.RCPT and decision.reply is None else f" {_WHEN[decision.moment]}"
    rule = f"by {decision.rule}" if decision.rule else ""
    otherwise = f"without that rule: {decision.otherwise}" if decision.otherwise else ""
    reply = "" if decision.reply is None else str(decision.reply)
    told = "; ".join(filter(None, (reply, decision.reason, rule, otherwise)))
    return f"{decision.verdict}{moment}: {told}"
