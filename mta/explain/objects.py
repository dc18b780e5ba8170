"""Decisions as objects for JSON."""

from mta.explain.values import Explanation, MailVerdict, RetryVerdict, RouteVerdict, TransportVerdict
from mta.explain.words import SCHEDULE_SETTING

JsonObject = dict[str, object]


def explanation_object(explanation: Explanation) -> JsonObject:
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


def _acl_object(decision: MailVerdict) -> JsonObject:
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


def route_object(decision: RouteVerdict) -> JsonObject:
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
        "demands": list(decision.demands),
        "returned": decision.failed,
        "text": decision.words,
    }


def transport_object(decision: TransportVerdict) -> JsonObject:
    """Return the settings of transport rules as an object for JSON."""
    return {
        "recipient": decision.recipient,
        "settings": [{"rule": rule, **settings} for rule, settings in decision.parts],
    }


def retry_object(decision: RetryVerdict) -> JsonObject:
    """Return the terms of retries as an object for JSON."""
    return {
        "recipient": decision.recipient,
        "errors": decision.errors or None,
        "schedule": decision.schedule,
        "warn_after": decision.warn_after or None,
        "rule": decision.rule or None,
        "setting": None if decision.has_schedule else SCHEDULE_SETTING,
    }
