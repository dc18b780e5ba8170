"""Random rules of all five stages, as the text of a file without mistakes."""

from collections.abc import Mapping

from hypothesis import strategies as st

from tests.explain.random_mail import CLIENTS, LARGE, PATTERNS, RECIPIENTS, SMALL, TEXTS, one_or_more, quoted

Values = Mapping[str, st.SearchStrategy[object]]

DOMAINS = ("a.test", "other.test", "*@*.other.test", "relay.test", "*@*.test", "archive.test")
_ASKS: Values = {
    "client": one_or_more(CLIENTS),
    "login": one_or_more(("app", "a*", "other")),
    "sender": one_or_more(PATTERNS),
    "recipient": one_or_more(RECIPIENTS),
}
#: The conditions of each stage. The rates have room for the one message of a test.
CONDITIONS: Mapping[str, Values] = {
    "acl": {
        **_ASKS,
        "helo": one_or_more(("app.test", "*.test", "here")),
        "tls": st.booleans(),
        "header.Subject": one_or_more(TEXTS),
        "larger": st.sampled_from((SMALL, LARGE - 1, LARGE, 5000)),
        "over": one_or_more(("1 message/hour", "2 messages/minute", "10 recipients/day")),
    },
    "rewrite": {**_ASKS, "header.Subject": one_or_more(TEXTS)},
    "router": _ASKS,
    "transport": {
        "recipient": one_or_more(DOMAINS),
        "host": one_or_more(("mx*.test", "*.relay.test", "smart.test", "198.51.100.7", "sub.other.test")),
        "smarthost": one_or_more(("default", "office", "branch")),
    },
    "retry": {
        "sender": one_or_more(PATTERNS),
        "recipient": one_or_more(RECIPIENTS),
        "error": one_or_more(("connect", "tls", "login", "dns", "4.2.*", "4.2.2", "4.*.0")),
    },
}
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "acl": ("accept = true", "hold = true", "deny = 'denied'", "deny = '554 5.7.0 not here'", "defer = 'wait'"),
    "rewrite": (
        "set.sender = 'robot@a.test'",
        "set.recipient = 'dev@other.test'",
        "set.recipient = ['bob@here.test', 'x@relay.test']",
        "map = '*@*.other.test -> *@other.test'\nin = ['sender', 'recipient']",
        "bcc = 'archive@archive.test'",
        "hide = 'client'",
    ),
    "router": (
        "hosts = ['office.hosts.test:2525', '[2001:db8::7]']",
        "hosts = '198.51.100.7:587'",
        "hosts = '[2001:db8::8]'",
        "smarthost = 'office'",
        "smarthost = 'branch'",
        "mx = true",
        "mx = 'relay.test'",
        "mx = 'broken.test'",
        "mx = 'null.test'",
        "discard = true",
        "fail = 'no mail to rivals'",
        "fail = '5.1.2 this domain has moved'",
    ),
    "transport": (
        "connections = 2",
        "messages_per_connection = 3\nconnections = 1",
        "rate = ['100 messages/minute', '1000 recipients/day']",
        "rate_each = '50 messages/hour'",
        "tls = 'require'",
        "port = 2525",
        "helo = 'out.a.test'\nsource = '192.0.2.77'",
        "ipv6 = false",
    ),
    "retry": (
        "schedule = 'F,2h,30m'",
        "schedule = 'F,1h,5m; G,1d,1h,1.5'",
        "warn_after = false",
        "schedule = 'F,3d,2h'\nwarn_after = '4h'",
    ),
}
# Keys of conditions that one rule cannot have together with an action or another key.
_AT_DATA = {"header.Subject", "larger"}
HEAD = """\
[lists]
some = ['x@other.test', 'relay.test']
[smarthost.office]
hosts = ['smart.test:587', '198.51.100.8']
[smarthost.branch]
hosts = 'office.hosts.test:465'
"""


@st.composite
def rule_sets(draw: st.DrawFn, stages: tuple[str, ...] = tuple(ACTIONS)) -> str:
    """Draw rules of these stages."""
    lines = [HEAD]
    # One stage at least has a rule, because a file without rules is no book.
    one = draw(st.sampled_from(stages))
    for stage in stages:
        for _ in range(draw(st.integers(int(stage == one), 3))):
            keys = set(CONDITIONS[stage])
            if stage == "acl":
                keys -= draw(st.sampled_from((_AT_DATA | {"over"}, {"recipient", "over"}, _AT_DATA)))
            chosen = draw(st.lists(st.sampled_from(sorted(keys)), min_size=1, max_size=3, unique=True))
            lines.append(f"[[{stage}]]")
            for key in chosen:
                unless = "" if key == "over" else draw(st.sampled_from(("", "", "unless.")))
                lines.append(f"{unless}{key} = {quoted(draw(CONDITIONS[stage][key]))}")
            lines.append(draw(st.sampled_from(ACTIONS[stage])))
    return "\n".join(lines)
