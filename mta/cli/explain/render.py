"""Prints explanations: for a reader, each stage with its decisions, and as JSON."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from mta.cli.explain.values import Explanation, MailVerdict, Moment, RetryVerdict, RouteVerdict, TransportVerdict

_STAGE_WIDTH = 11
_MAX_PASSED_OVER = 10
_SCHEDULE_SETTING = "RETRY_SCHEDULE"
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
        yield from _stage("transport", _merged((each.recipient, carried_words(each)) for each in explanation.transport))
        yield from _stage("retry", retry_lines(explanation.retry))
    for hint in explanation.hints:
        yield f"note: {hint}"


def as_object(explanation: Explanation) -> dict[str, object]:
    """Return the explanation as an object for JSON."""
    return {
        "goes_on": explanation.goes_on,
        "acl": [_acl_object(each) for each in explanation.acl],
        "rewrite": [{"rule": each.rule, "changes": list(each.changes)} for each in explanation.rewrite],
        "router": [route_object(each) for each in explanation.router],
        "transport": [transport_object(each) for each in explanation.transport],
        "retry": [retry_object(each) for each in explanation.retry],
        "hints": list(explanation.hints),
    }


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


def route_words(decision: RouteVerdict) -> str:
    """Return the route of a recipient in words, with the rule that decides."""
    words = f"{decision.words} ({decision.setting})" if decision.setting else decision.words
    if decision.rule:
        return f"{decision.rule}: {words}; without that rule: {decision.otherwise}"
    return f"no rule; {words}" if decision.passed_over else words


def carried_words(decision: TransportVerdict) -> str:
    """Return the settings of transport rules for a recipient in words."""
    parts = (
        f"{', '.join(f'{key} {value}' for key, value in settings.items())} ({rule})"
        for rule, settings in decision.parts
    )
    return "; ".join(parts) or "no rule"


def retry_lines(decisions: Iterable[RetryVerdict]) -> Iterator[str]:
    """Yield the lines of all recipients; those of recipients with the same terms once."""
    by_recipient = groupby(decisions, lambda each: each.recipient)
    blocks = [(recipient, tuple(map(_retry_words, found))) for recipient, found in by_recipient]
    runs = [(words, [name for name, _ in run]) for words, run in groupby(blocks, lambda block: block[1])]
    for words, recipients in runs:
        named = f"{', '.join(recipients)}: " if len(runs) > 1 else ""
        yield from (f"{named}{line}" for line in words)


def _retry_words(decision: RetryVerdict) -> str:
    errors = f"after {decision.errors}: " if decision.errors else ""
    schedule = f"{errors}{decision.schedule} ({decision.rule if decision.has_schedule else _SCHEDULE_SETTING})"
    if not decision.rule:
        return schedule
    report = f"report of delay after {decision.warn_after}" if decision.warn_after else "no report of delay"
    return f"{schedule}; {report}{'' if decision.has_schedule else f' ({decision.rule})'}"


def _acl_object(decision: MailVerdict) -> dict[str, object]:
    return {
        "command": decision.moment.value,
        "recipient": decision.recipient or None,
        "verdict": decision.verdict,
        "reply": None if decision.reply is None else str(decision.reply),
        "reason": decision.reason or None,
        "rule": decision.rule or None,
        "without_rule": decision.otherwise or None,
        "passed_over": list(decision.passed_over),
    }


def route_object(decision: RouteVerdict) -> dict[str, object]:
    """Return a route as an object for JSON."""
    return {
        "recipient": decision.recipient,
        "route": decision.kind.value,
        "hosts": list(decision.hosts),
        "smarthost": decision.smarthost or None,
        "setting": decision.setting or None,
        "rule": decision.rule or None,
        "without_rule": decision.otherwise or None,
        "passed_over": list(decision.passed_over),
        "returned": decision.failed,
        "text": decision.words,
    }


def transport_object(decision: TransportVerdict) -> dict[str, object]:
    """Return the settings of transport rules as an object for JSON."""
    return {
        "recipient": decision.recipient,
        "settings": [{"rule": rule, **settings} for rule, settings in decision.parts],
    }


def retry_object(decision: RetryVerdict) -> dict[str, object]:
    """Return the terms of retries as an object for JSON."""
    return {
        "recipient": decision.recipient,
        "errors": decision.errors or None,
        "schedule": decision.schedule,
        "warn_after": decision.warn_after or None,
        "rule": decision.rule or None,
        "setting": None if decision.has_schedule else _SCHEDULE_SETTING,
    }
