"""Asks each name server the same questions."""

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.resolver

from mta.doctor.drivers.dns_questions import DnsQuestions, validates
from mta.doctor.lookups import LookUp
from mta.doctor.name_servers import NameServerFacts, ServerFacts

#: Servers and domains of the search list that are checked.
MAX_SERVERS, MAX_DOMAINS = 5, 6


def name_server_facts(
    servers: Sequence[tuple[str, int]], questions: Sequence[tuple[str, str]], search: Sequence[str], look_up: LookUp
) -> NameServerFacts:
    """Return the answers of servers to questions by name and type, and the search domains under which all names exist.

    `look_up` asks any of the servers.
    """
    with ThreadPoolExecutor(MAX_SERVERS) as pool:
        answers = pool.map(lambda server: _server_facts(server, questions), servers[:MAX_SERVERS])
        wildcards = [domain for domain in search[:MAX_DOMAINS] if _makes_names_up(domain, look_up)]
        words = tuple(f"{name} {kind}" for name, kind in questions)
        return NameServerFacts(words, tuple(answers), tuple(wildcards))


def search_list() -> tuple[str, ...]:
    """Return the search list of resolv.conf(5)."""
    try:
        return tuple(name.to_text(omit_final_dot=True) for name in dns.resolver.Resolver().search)
    except dns.exception.DNSException:
        return ()


def _server_facts(server: tuple[str, int], questions: Sequence[tuple[str, str]]) -> ServerFacts:
    ask = DnsQuestions((server,))
    address, port = server
    name = address if port == 53 else f"{address} port {port}"  # noqa: PLR2004  the usual port
    return ServerFacts(name, tuple(ask(*question) for question in questions), validates(server))


def _makes_names_up(domain: str, look_up: LookUp) -> bool:
    return domain not in {"", "."} and bool(look_up(f"smtprelay-{secrets.token_hex(8)}.{domain}", "A").texts)
