"""`[[rewrite]]`: changes of envelope and header before a message is stored. All rules that apply do, in their order.

A condition sees the message as the rules before left it. A rule with a condition on the recipient applies to a message
if it matches one of its recipients.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mta.fast_value import fast_value
from mta.message.envelope import Envelope, Recipient
from mta.message.headers import HeaderScan
from mta.rules.conditions import Condition, HeaderCondition, Question, RecipientCondition, Rule
from mta.rules.facts import Facts
from mta.rules.rewriting.actions import RewriteAction
from mta.rules.rewriting.draft import Draft, Step, Words, steps_of


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """A rule with its actions in their order. After a rule with `last` that applies, no further one is asked."""

    rule: Rule
    actions: tuple[RewriteAction, ...]
    last: bool = False
    #: Whether the rule applies by its conditions on the message.
    of_message: Question = field(init=False, repr=False, compare=False)
    #: Whether it applies by those on a recipient; None if it has none.
    of_recipient: Question | None = field(init=False, repr=False, compare=False)
    #: Whether a condition asks for a header field.
    asks_header: bool = field(init=False, repr=False, compare=False)
    #: The actions with the methods that carry them out.
    steps: tuple[Step, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Separate the conditions on recipients, because only they are asked for each of them."""
        of_message = self.rule.only(lambda one: not _is_of_recipient(one))
        of_recipient = self.rule.only(_is_of_recipient)
        object.__setattr__(self, "of_message", of_message.question)
        object.__setattr__(self, "of_recipient", None if of_recipient.always_applies else of_recipient.question)
        asks_header = any(isinstance(one, HeaderCondition) for one in self.rule.all_conditions)
        object.__setattr__(self, "asks_header", asks_header)
        object.__setattr__(self, "steps", steps_of(self.actions))


def _chosen(applies: Question, facts: Facts, recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
    """Return the recipients for which a rule applies. `facts` goes on to each of them."""
    found = []
    for one in recipients:
        facts.recipient = one.address
        if applies(facts):
            found.append(one)
    facts.recipient = None
    return tuple(found)


@fast_value(frozen=True, slots=True)
class RewriteNote:
    """The changes that one rule made. Their words are made when they are read, because only `explain` does that."""

    rule: Rule
    words: Sequence[Words] = field(repr=False, compare=False)

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes in words."""
        return tuple(words() for words in self.words)


def _unchanged(found: HeaderScan) -> HeaderScan:
    return found


@fast_value(frozen=True, slots=True)
class Rewritten:
    """A message after the rules. `hide_client` tells that the relay's own Received field names no client."""

    envelope: Envelope
    block: bytes
    hide_client: bool = False
    #: The rules that changed something.
    rules: Sequence[Rule] = ()
    # Their changes, in the same order.
    _words: Sequence[Sequence[Words]] = field(default=(), repr=False, compare=False)
    #: Returns the properties of the header block after the rules; takes those before them.
    scan: Callable[[HeaderScan], HeaderScan] = field(default=_unchanged, repr=False, compare=False)

    @property
    def notes(self) -> tuple[RewriteNote, ...]:
        """The rules that changed something, with their changes."""
        return tuple(map(RewriteNote, self.rules, self._words))


class Rewriting:
    """The rules in their order."""

    __slots__ = ("rules",)

    def __init__(self, rules: Iterable[RewriteRule]) -> None:
        #: All rules in their order.
        self.rules = tuple(rules)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names in `client` conditions, each once, whose addresses `Facts.host_addresses` must tell."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.rule.host_names))

    def apply(self, facts: Facts, envelope: Envelope, block: bytes) -> Rewritten:
        """Return the message after all rules. `facts` are those of its client; sender and header are not read from it.

        `facts` goes on with the message as the rules change it, and is as before at the end. Raises HostNotLookedUp if
        a rule depends on the addresses of a host name that are not known yet.
        """
        sender, header = facts.sender, facts.header
        try:
            return self._apply(facts, Draft(envelope, block))
        finally:
            facts.sender = sender
            facts.put_header(header)

    def _apply(self, facts: Facts, draft: Draft) -> Rewritten:
        rules: list[Rule] = []
        words: list[list[Words]] = []
        facts.sender = draft.sender
        facts.put_header(draft.take_block())
        for rule in self.rules:
            if rule.asks_header and draft.header_changed:
                facts.put_header(draft.take_block())
            if not rule.of_message(facts):
                continue
            matched = draft.recipients
            # Most rules ask for no recipient, and so need not look at each.
            if rule.of_recipient is not None and not (matched := _chosen(rule.of_recipient, facts, matched)):
                continue
            changes = draft.change(rule.steps, facts, matched)
            if changes:
                rules.append(rule.rule)
                words.append(changes)
                facts.sender = draft.sender
            if rule.last:
                break
        return Rewritten(draft.envelope, draft.finished_block(), draft.hide_client, rules, words, draft.scan)


def _is_of_recipient(condition: Condition) -> bool:
    return isinstance(condition, RecipientCondition)
