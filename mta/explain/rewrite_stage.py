"""How a message is rewritten: the changes of `[[rewrite]]` rules, and the recipients after them."""

from dataclasses import replace

from mta.explain.acl_stage import Verdicts
from mta.explain.values import MailVerdict, Moment, RewriteVerdict
from mta.message import headers
from mta.message.envelope import Envelope, Origin, Recipient
from mta.rules.book import RuleBook
from mta.rules.facts import HOST_UNKNOWN, HostNotLookedUp


def decide_rewrite(verdicts: Verdicts, book: RuleBook | None) -> tuple[Verdicts, tuple[RewriteVerdict, ...]]:
    """Return the decisions with the envelope and the recipients after the rules, and the changes that each rule makes.

    The message is deferred if a rule depends on the addresses of a host name that are not known.
    """
    facts = verdicts.facts
    if facts is None or not verdicts.accepted:
        return verdicts, ()
    protocol = "ESMTPA" if facts.login else "ESMTP"
    origin = Origin(facts.client, facts.helo, protocol, facts.login)
    envelope = Envelope(facts.sender, tuple(map(Recipient, verdicts.accepted)), origin)
    if book is None or book.rewrite is None:
        return replace(verdicts, envelope=envelope), ()
    block = facts.header or b""
    block = headers.strip(block, headers.scan(block), trusted=facts.trusted)
    try:
        rewritten = book.rewrite.apply(facts, envelope, block)
    except HostNotLookedUp:
        deferred = MailVerdict(Moment.DATA, "", HOST_UNKNOWN, "a [[rewrite]] rule depends on a host name")
        return Verdicts((*verdicts.decisions, deferred)), ()
    recipients = tuple(each.address for each in rewritten.envelope.recipients)
    changes = tuple(RewriteVerdict(str(note.rule), note.changes) for note in rewritten.notes)
    facts = replace(facts, sender=rewritten.envelope.sender)
    return replace(verdicts, accepted=recipients, facts=facts, envelope=rewritten.envelope), changes
