"""Makes rules of Exim's email-addresses and hubbed_hosts, as Debian's configuration reads them."""

from collections.abc import Sequence

from mta.config.imports.blocks import Block, CannotImportError, LeftOut, Section, Value, map_item
from mta.config.imports.hosts import read_route_data
from mta.config.imports.routes import (
    TableRoute,
    TableRoutes,
    domain_pattern,
    first_of_each,
    sub_domains_pattern,
)
from mta.config.imports.tables import TableLine, lsearch_table

EMAIL_ADDRESSES, HUBBED_HOSTS = "email-addresses", "hubbed_hosts"


def import_email_addresses(text: str, domains: Sequence[str]) -> Section:
    """Return a map for the local parts of email-addresses at these domains, or at any domain if there is none.

    Debian's Exim rewrites the sender, From, Sender and Reply-To of addresses at its own domains.
    """
    section = Section(EMAIL_ADDRESSES)
    items: list[str] = []
    for line in first_of_each(section, lsearch_table(text)):
        try:
            items += [_map_line(line, domain) for domain in domains or ("*",)]
        except CannotImportError as error:
            section.left_out.append(LeftOut(line.number, str(error), line.text))
    if items:
        anywhere = (
            "Exim does this at its own domains only. If other domains have these names, too, import with --domain."
        )
        entries: tuple[tuple[str, Value], ...] = (("name", EMAIL_ADDRESSES), ("map", tuple(items)))
        section.blocks.append(Block("[[rewrite]]", entries, () if domains else (anywhere,)))
    return section


def _map_line(line: TableLine, domain: str) -> str:
    if "@" in line.key:
        raise CannotImportError("Exim looks for local parts here, so it never finds an address")
    if line.key == "*":
        raise CannotImportError("Exim takes this * for a local part; FORCE_SENDER changes every sender")
    if "*" in line.key or line.key.startswith("^"):
        raise CannotImportError("Exim knows no patterns here")
    if "@" not in line.value:
        raise CannotImportError("the line has no address with a domain behind the name")
    return map_item(f"{line.key}@{domain}", line.value)


def import_hubbed_hosts(text: str) -> Section:
    """Return the routes of hubbed_hosts: domains in their order of precedence, each with its hosts."""
    section = Section(HUBBED_HOSTS)
    routes = TableRoutes()
    for line in first_of_each(section, lsearch_table(text)):
        try:
            patterns = _partial_patterns(line.key)
            for order, pattern in patterns:
                routes.add(TableRoute(line.number, order, pattern, None))
            target = read_route_data(line.value)
            for order, pattern in patterns:
                routes.set_action(order, pattern, ("mx" if isinstance(target, str) else "hosts", target))
        except CannotImportError as error:
            section.left_out.append(LeftOut(line.number, str(error), line.text))
    section.blocks += routes.blocks(HUBBED_HOSTS)
    return section


def _partial_patterns(key: str) -> tuple[tuple[int, str], ...]:
    """Return the patterns of a key of `partial-lsearch` with their orders (Exim's specification, section 9.7).

    `*.b.test` stands for b.test, too, if that has no line of its own.
    """
    if not key.startswith("*."):
        return (domain_pattern(key),)
    order, pattern = sub_domains_pattern(key[2:])
    if "." not in key[2:]:
        raise CannotImportError("Exim asks for two names behind *., so it never finds this key")
    return (order, domain_pattern(key[2:])[1]), (order, pattern)
