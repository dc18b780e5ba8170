"""The explanation of a destination as an object for JSON. Times are ISO 8601 in UTC."""

from dataclasses import asdict

from mta.admin.wire.fields import time_text
from mta.admin.wire.messages import shape_object
from mta.admin.wire.relay import destination_object
from mta.explain.destination.mx_hosts import MxHosts
from mta.explain.destination.page import DestinationPage, LastReply
from mta.explain.message.objects import meaning_object
from mta.explain.objects import JsonObject, route_object, transport_object


def page_object(page: DestinationPage) -> JsonObject:
    """Return the page as an object for JSON."""
    coming = page.next
    return {
        "name": page.name,
        "running": page.running,
        "smarthost": page.smarthost or None,
        "route": None if page.route is None else route_object(page.route),
        "transport": None if page.transport is None else transport_object(page.transport),
        "mx": None if page.mx is None else _mx_object(page.mx),
        "tls": list(page.tls),
        "policy": list(page.policy),
        "waiting": None if page.shape is None else shape_object(page.shape),
        "domains": [shape_object(each) for each in page.by_host],
        "destinations": [destination_object(each) for each in page.live],
        "replies": [_reply_object(each) for each in page.replies],
        "next": None if coming is None else {"time": time_text(coming.time), "reason": coming.words},
        "choices": [{"command": each.command, "effect": each.effect} for each in page.choices],
        "notes": list(page.notes),
    }


def _mx_object(mx: MxHosts) -> JsonObject:
    hosts = [
        {**asdict(each), "addresses": list(each.addresses), "left_out": each.left_out or None} for each in mx.hosts
    ]
    return {"hosts": hosts, "problem": mx.problem or None, "implicit": mx.implicit}


def _reply_object(each: LastReply) -> JsonObject:
    return {
        "time": time_text(each.time),
        "host": each.host,
        "reply": each.reply,
        "status": each.status.value,
        "recipients": each.recipients,
        "meaning": meaning_object(each.meaning),
    }
