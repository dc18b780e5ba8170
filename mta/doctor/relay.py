"""The relay itself: whether it answers, whether strangers can misuse it, its certificate and its queue."""

from collections.abc import Iterator
from dataclasses import dataclass

from mta.admin.state import DestinationState, LoggedEvent
from mta.doctor.findings import Finding, failure, ok, skipped, warning
from mta.queue.interface import Summary

# Seconds: mail that waits for half a day has met more than greylisting.
_OLD = 12 * 3600.0
_DAY = 86400.0
# Destinations that a finding names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class StrangerTrial:
    """Mail of a stranger to a domain that is not the relay's, and the answer of policy and rules."""

    client: str
    #: The refusal, "" if the mail would be accepted.
    refusal: str
    #: Whether the refusal is temporary, because a host name is not looked up.
    undecided: bool = False


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The certificate that the relay shows its clients."""

    #: The names that it is valid for.
    names: tuple[str, ...]
    #: As text: names and end.
    words: str
    #: The fault of its dates and the remedy, or "".
    problem: str = ""
    expired: bool = False
    #: Why clients with the authorities of this host do not trust its chain, or "".
    untrusted: str = ""


@dataclass(frozen=True, slots=True)
class RelayFacts:
    """The state of the relay. A fact that cannot be had is None or ""."""

    now: float
    mailname: str
    #: Why the relay does not accept mail, "" if it does.
    silent: str = ""
    trials: tuple[StrangerTrial, ...] = ()
    certificate: CertificateFacts | None = None
    #: Why the certificate cannot be used, or "".
    certificate_error: str = ""
    #: Whether clients log in, and so check the certificate.
    submission: bool = False
    notices: tuple[str, ...] = ()
    summary: Summary | None = None
    #: Why the queue cannot be read, or "".
    queue_error: str = ""
    #: The destinations of the running relay, and its last errors, newest first.
    destinations: tuple[DestinationState, ...] | None = None
    alarms: tuple[LoggedEvent, ...] | None = None


def check_relay(facts: RelayFacts) -> Iterator[Finding]:
    """Yield findings about the relay."""
    yield _answers(facts)
    yield _open_relay(facts)
    yield _certificate(facts)
    yield from _notices(facts)
    yield from _queue(facts)
    yield _destinations(facts)
    yield _alarms(facts)


def _answers(facts: RelayFacts) -> Finding:
    if facts.silent:
        return failure("relay/answers", facts.silent, "start the relay, or mend the fault that its log names")
    return ok("relay/answers", "the relay greets, answers EHLO and can write its queue")


def _open_relay(facts: RelayFacts) -> Finding:
    check = "relay/open"
    accepted = [trial.client for trial in facts.trials if not trial.refusal]
    if accepted:
        seen = f"strangers may send anywhere: mail from {', '.join(accepted)} would be accepted for any domain"
        return failure(check, seen, "narrow RELAY_NETWORKS, RELAY_DOMAINS and the [[acl]] rules that accept")
    undecided = [trial for trial in facts.trials if trial.undecided]
    if undecided:
        return skipped(check, f"not decided: {undecided[0].refusal}", "see that the names in RELAY_NETWORKS resolve")
    if not facts.trials:
        return skipped(check, "policy and rules were not asked")
    return ok(check, f"strangers are refused: {facts.trials[0].refusal}")


def _certificate(facts: RelayFacts) -> Finding:
    check, found = "relay/certificate", facts.certificate
    if facts.certificate_error:
        return failure(check, facts.certificate_error, "mend the files; the relay loads them by itself")
    if found is None:
        return skipped(check, "CERTIFICATE_PATH is not set: clients send in clear")
    if found.problem:
        seen, _, remedy = found.problem.partition("; ")
        return (failure if found.expired else warning)(check, seen, remedy)
    if facts.mailname.lower() not in found.names and not _by_wildcard(facts.mailname, found.names):
        seen = f"the certificate is for {', '.join(found.names) or 'no name'}, and not for MAILNAME={facts.mailname}"
        return warning(check, seen, "get one for the name by which clients connect, or set MAILNAME to that name")
    if found.untrusted and facts.submission:
        remedy = "put the intermediate certificates into CERTIFICATE_PATH, or have the clients trust the authority"
        return warning(check, f"this host's authorities do not confirm the certificate: {found.untrusted}", remedy)
    return ok(check, found.words)


def _by_wildcard(name: str, names: tuple[str, ...]) -> bool:
    """Whether a name is covered by a wildcard for its first label (RFC 9525 section 6.3)."""
    _, _, rest = name.lower().partition(".")
    return f"*.{rest}" in names


def _notices(facts: RelayFacts) -> Iterator[Finding]:
    for notice in facts.notices:
        yield warning("relay/settings", notice, "change the setting; the notice is in the log at each start too")
    if not facts.notices:
        yield ok("relay/settings", "no setting calls for a notice")


def _queue(facts: RelayFacts) -> Iterator[Finding]:
    summary = facts.summary
    if summary is None:
        yield skipped("relay/queue", facts.queue_error or "the queue was not read", "run this as the relay's user")
        return
    yield _oldest(summary, facts.now)
    missing = summary.ledger.missing
    if missing:
        seen = f"the ledger does not add up: {missing} recipients are neither finished nor waiting"
        yield failure("relay/ledger", seen, "keep a copy of QUEUE_DIR, and report this as a fault of the relay")
    else:
        yield ok("relay/ledger", f"all {summary.ledger.accepted} recipients ever accepted are accounted for")


def _oldest(summary: Summary, now: float) -> Finding:
    check = "relay/oldest"
    if summary.oldest is None:
        return ok(check, "no mail waits")
    age = now - summary.oldest
    words = f"{age / _DAY:.1f} days" if age >= _DAY else f"{max(age, 0.0) / 3600:.1f} hours"
    seen = f"{summary.messages} messages wait, the oldest for {words}"
    if age < _OLD:
        return ok(check, seen)
    held = f" ({summary.held} are held)" if summary.held else ""
    return warning(check, f"{seen}{held}", "`smtprelay queue list` shows the last reply to each recipient")


def _destinations(facts: RelayFacts) -> Finding:
    check = "relay/destinations"
    if facts.destinations is None:
        return skipped(check, "no running relay can be asked", "start the relay, or run this as its user")
    down = [each for each in facts.destinations if each.blocked_until is not None and each.blocked_until > facts.now]
    if not down:
        return ok(check, "mail goes to each destination that the relay has met")
    names = ", ".join(each.name for each in down[:_NAMED]) + (", ..." if len(down) > _NAMED else "")
    seen = f"{len(down)} down: {names}; the first one: {down[0].blocked_because or 'no connection'}"
    return warning(check, seen, f"`smtprelay explain {down[0].name}` tells the reason and the next attempt")


def _alarms(facts: RelayFacts) -> Finding:
    check = "relay/alarms"
    if facts.alarms is None:
        return skipped(check, "no running relay can be asked", "start the relay, or run this as its user")
    recent = [each for each in facts.alarms if each.time > facts.now - _DAY]
    if not recent:
        return ok(check, "the relay has logged no error in the last day")
    # A broken promise or a bug is worse than trouble.
    worst = next((each for each in recent if each.name != "trouble"), recent[0])
    text = str(worst.fields.get("text", "")).partition("\n")[0]
    count = "1 error" if len(recent) == 1 else f"{len(recent)} errors"
    seen = f"the relay has logged {count} in the last day, such as {worst.name}: {text}"
    level = warning if worst.name == "trouble" else failure
    return level(check, seen, "mend the cause that the text names; the log has the others")
