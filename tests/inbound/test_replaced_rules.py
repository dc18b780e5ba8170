"""A property: however rules are replaced during a session, each message meets the rules of one book."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mta.rules.actions import read_deny
from mta.rules.book import RuleBook
from mta.rules.conditions import Rule, RulePlace
from mta.rules.rewriting.actions import read_add_field
from mta.rules.rewriting.rewriting import RewriteRule, Rewriting
from tests.drivers.listener import Listening, Wire
from tests.drivers.rule_books import book, header, recipient
from tests.inbound.listener_case import GREET, MAIL, RCPT

DENIED = "RCPT TO:<denied@b.test>"
NUMBER = re.compile(r"rules (\d+)")


def numbered(number: int) -> RuleBook | None:
    """Return a book that shows its number in its refusals and in a header field; None for every fourth."""
    if number % 4 == 3:
        return None
    words = read_deny(f"rules {number}")
    field = Rewriting([RewriteRule(Rule(RulePlace("2.toml", 1)), (read_add_field("X-Rules", f"rules {number}"),))])
    return RuleBook(acl=book((words, [recipient("denied@*")]), (words, [header("X-Probe", "*")])).acl, rewrite=field)


class Talk:
    """A session whose steps a test chooses, and the numbers that its present message has shown."""

    def __init__(self) -> None:
        self.number = 0
        self.listening = Listening(rules=numbered(0))
        self.wire: Wire = self.listening.connect()
        self.wire.say(GREET, MAIL)
        self.accepted = False
        self.shown: set[int | None] = set()

    def swap(self) -> None:
        self.number += 1
        self.listening.rules.replace(numbered(self.number))

    def recipient(self) -> None:
        assert self.wire.say(RCPT).startswith("250")
        self.accepted = True

    def denied(self) -> None:
        reply = self.wire.say(DENIED)
        if self.accepted:
            self.shown.add(_number(reply))

    def data(self, *fields: str, swaps: int = 0) -> None:
        if not self.accepted:
            return
        assert self.wire.say("DATA").startswith("354")
        for _ in range(swaps):
            self.swap()
        reply = self.wire.say(*fields, "X-A: b")
        for _ in range(swaps):
            self.swap()
        reply = self.wire.say("", "body", ".")
        if reply.startswith("250"):
            content = b"".join(self.listening.delivery.taken[-1].body.chunks()).decode()
            self.shown.add(_number(content))
        else:
            self.shown.add(_number(reply))
        assert len(self.shown) == 1
        self.accepted = False
        self.shown = set()
        self.wire.say(MAIL)


def _number(text: str) -> int | None:
    found = NUMBER.search(text)
    return int(found[1]) if found else None


@given(st.lists(st.sampled_from(["swap", "recipient", "denied", "data", "probe", "data+swap", "probe+swap"])))
def test_each_message_meets_the_rules_of_one_book(steps: list[str]) -> None:
    talk = Talk()
    for step in (*steps, "recipient", "swap", "data+swap"):
        name, _, swaps = step.partition("+")
        if name in {"data", "probe"}:
            talk.data(*(["X-Probe: x"] if name == "probe" else []), swaps=len(swaps) and 1)
        else:
            getattr(talk, name)()
