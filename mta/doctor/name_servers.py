"""The name servers: whether each answers, whether they agree, and the effect of a search list on names."""

from collections.abc import Iterator
from dataclasses import dataclass

from mta.doctor.findings import Finding, failure, ok, skipped, warning
from mta.doctor.lookups import Records


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One name server and its answers to the same questions, in the same order."""

    name: str
    answers: tuple[Records, ...]
    #: Whether it says that it validates signatures (AD); None if it did not answer that question.
    validates: bool | None = None


@dataclass(frozen=True, slots=True)
class NameServerFacts:
    """All name servers that the relay asks."""

    #: As text: name and type of each question.
    questions: tuple[str, ...]
    servers: tuple[ServerFacts, ...]
    #: The domains of the search list under which a name that nobody has registered exists.
    wildcards: tuple[str, ...] = ()


def check_name_servers(facts: NameServerFacts) -> Iterator[Finding]:
    """Yield findings about the answers of each server, their differences, DNSSEC and the search list."""
    if not facts.servers:
        yield failure("dns/answers", "no name server is set", "name one in resolv.conf, or set DNS_SERVERS")
        return
    silent = [server for server in facts.servers if all(answer.failed for answer in server.answers)]
    for server in facts.servers:
        yield _answers(server, alone=len(silent) == len(facts.servers))
    yield _agreement(facts, [server for server in facts.servers if server not in silent])
    yield _dnssec(facts)
    yield _search_list(facts)


def _answers(server: ServerFacts, *, alone: bool) -> Finding:
    check = "dns/answers"
    reasons = [answer.failed for answer in server.answers if answer.failed]
    if server.answers and len(reasons) == len(server.answers):
        seen = f"{server.name} does not answer: {reasons[0]}"
        remedy = "start it, let this host ask it, or take it out of resolv.conf or DNS_SERVERS"
        return (failure if alone else warning)(check, seen, remedy)
    if reasons:
        return warning(check, f"{server.name} answers only some questions: {reasons[0]}", "see its log")
    return ok(check, f"{server.name} answers")


def _agreement(facts: NameServerFacts, answering: list[ServerFacts]) -> Finding:
    """Return the finding about differences: mail would go elsewhere, depending on the server that answers first."""
    check = "dns/agreement"
    if len(answering) < 2:  # noqa: PLR2004  a comparison needs two
        return skipped(check, "there is only one name server that answers")
    for index, question in enumerate(facts.questions):
        given = {server.name: server.answers[index] for server in answering if not server.answers[index].failed}
        if len({frozenset(answer.texts) for answer in given.values()}) > 1:
            words = "; ".join(f"{name}: {', '.join(found.texts[:3]) or 'nothing'}" for name, found in given.items())
            remedy = "name only servers that know the same zones; the relay asks any of them"
            return warning(check, f"the servers differ about {question}: {words}", remedy)
    return ok(check, f"{len(answering)} servers agree")


def _dnssec(facts: NameServerFacts) -> Finding:
    check = "dns/dnssec"
    validating = [server.name for server in facts.servers if server.validates]
    if len(validating) == len(facts.servers):
        return ok(check, "the answers are validated by DNSSEC")
    others = ", ".join(server.name for server in facts.servers if not server.validates)
    return skipped(check, f"{others} does not validate answers by DNSSEC", "a validating server on this host does")


def _search_list(facts: NameServerFacts) -> Finding:
    check = "dns/search"
    if facts.wildcards:
        seen = f"under {', '.join(facts.wildcards)} of the search list every name exists"
        remedy = (
            "end names in settings with a dot, or take the domain out of the search list: typing errors resolve too"
        )
        return warning(check, seen, remedy)
    return ok(check, "the search list makes no name up")
