"""All decisions on a message that is only described, by the parts of a relay."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mta.explain.acl_stage import decide_acl
from mta.explain.parts import DecidingParts
from mta.explain.retry_stage import decide_retry
from mta.explain.rewrite_stage import decide_rewrite
from mta.explain.route_stage import decide_route
from mta.explain.transport_stage import asks_for_unknown_hosts, decide_transport
from mta.explain.values import Explanation, MailVerdict, Question
from mta.message.headers import scan
from mta.rules.conditions import HeaderCondition, OverCondition, SizeCondition
from mta.smtp.parameters import TlsDemand


async def decide(question: Question, relay: DecidingParts) -> Explanation:
    """Return the decisions on a message by the parts of a relay."""
    acl, rewritten = decide_rewrite(await decide_acl(question, relay), relay.book)
    envelope = None if acl.envelope is None else replace(acl.envelope, tls_demand=_demand(question))
    addresses = [each.address for each in envelope.recipients] if envelope else []
    routes = [await decide_route(address, envelope, relay) for address in addresses] if envelope else []
    carried = [decide_transport(*each, relay) for each in zip(addresses, routes, strict=True)]
    hints = [*_hold_hint(acl.decisions), *_hints(question, relay)]
    if asks_for_unknown_hosts(routes, relay):
        hints.append("[[transport]] rules ask for host, and MX hosts are not looked up; --dns looks them up")
    return Explanation(
        acl.decisions,
        rewritten,
        tuple(routes),
        tuple(each for each in carried if each is not None),
        decide_retry(acl, relay),
        tuple(hints),
    )


def _demand(question: Question) -> TlsDemand | None:
    """Return the demand of a message on TLS (RFC 8689)."""
    if question.requiretls:
        return TlsDemand.REQUIRED
    return TlsDemand.OPTIONAL if scan(question.header).tls_optional else None


def _hold_hint(decisions: Iterable[MailVerdict]) -> Iterator[str]:
    """Yield a remark if a rule holds the message because of some of its recipients, which concerns all of them."""
    decisions = list(decisions)
    held = [each for each in decisions if each.held and each.recipient]
    others = [each for each in decisions if each.recipient and each.reply is None and not each.held]
    if held and others and not any(each.reply is not None and not each.recipient for each in decisions):
        yield f"{held[0].rule} holds the whole message, so it waits for all its recipients"


def _hints(question: Question, relay: DecidingParts) -> Iterator[str]:
    """Yield remarks about facts that decide and are not known."""
    if not relay.dns and not question.login and relay.trust(question.client).verdict is None:
        yield "a host name in RELAY_NETWORKS decides; --dns looks it up"
    if relay.book is None:
        return
    if relay.book.host_names and not relay.dns:
        yield f"rules ask for the addresses of {', '.join(relay.book.host_names)}; --dns looks them up"
    conditions = [each for rule in relay.book.rules for each in rule.all_conditions]
    fields = dict.fromkeys(each.key for each in conditions if isinstance(each, HeaderCondition))
    if fields and not question.header:
        yield f"rules ask for {', '.join(fields)}, and the message has no header; give it by --header"
    if any(isinstance(each, OverCondition) for each in conditions):
        yield "rules limit rates (over), and here no mail was sent before; the running relay counts"
    if any(isinstance(each, SizeCondition) for each in conditions) and not question.size:
        yield "rules ask for larger, and the message has no size; give it by --size"
