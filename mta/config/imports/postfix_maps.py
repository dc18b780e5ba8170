"""Makes `[[rewrite]]` rules of Postfix's sender_canonical, generic, recipient_bcc and sender_bcc."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mta.config.imports.blocks import Block, CannotImportError, LeftOut, Section, Value, map_item
from mta.config.imports.routes import ADDRESS, DOMAIN, address_pattern, domain_name, first_of_each, places
from mta.config.imports.tables import TableLine, postfix_table
from mta.rules.rewriting.actions import read_bcc

SENDER_CANONICAL, GENERIC = "sender_canonical", "generic"
RECIPIENT_BCC, SENDER_BCC = "recipient_bcc", "sender_bcc"

# Postfix looks for the address, then for its local part at domains of its own, then for the domain.
_LOCAL_PART = 0.5
# Postfix changes the recipients of a message on its way out, when its route is decided.
_GENERIC_PLACES = ("sender", "from", "reply_to", "to", "cc")
_GENERIC_COMMENT = (
    "Postfix also changes recipients, when their route is decided; here that would come before the route, so it is left"
    " out."
)
_BCC_CLIENTS = ("trusted", "stranger")


def import_address_map(file: str, text: str, domains: Sequence[str]) -> Section:
    """Return a map for sender_canonical or generic. A local part counts at `domains`, which are Postfix's own."""
    section = Section(file)
    found: list[tuple[float, str]] = []
    for line in first_of_each(section, postfix_table(text)):
        try:
            found += _map_lines(line, domains)
        except CannotImportError as error:
            section.left_out.append(LeftOut(line.number, str(error), line.text))
    if found:
        items = tuple(item for _, item in sorted(found, key=lambda each: each[0]))
        entries: list[tuple[str, Value]] = [("name", file), ("map", items)]
        entries += [("in", _GENERIC_PLACES)] if file == GENERIC else []
        section.blocks.append(Block("[[rewrite]]", tuple(entries), (_GENERIC_COMMENT,) if file == GENERIC else ()))
    return section


def _map_lines(line: TableLine, domains: Sequence[str]) -> list[tuple[float, str]]:
    if not line.value:
        raise CannotImportError("the line has no address behind the key")
    found = []
    for order, pattern in _keys(line.key, domains):
        local, _, _ = pattern.rpartition("@")
        value = line.value
        if value.startswith("@"):
            value = f"{local}{value}" if local and local != "*" else f"*{value}"
        elif "@" not in value and len(domains) == 1:
            value = f"{value}@{domains[0]}"
        elif "@" not in value:
            raise CannotImportError("the address has no domain; import with --domain, or write it in full")
        found.append((order, map_item(pattern, value)))
    return found


def _keys(key: str, domains: Sequence[str]) -> list[tuple[float, str]]:
    """Return the patterns of a key with their orders: `user@domain`, `user` or `@domain`. Raises CannotImportError."""
    if key.startswith(("/", "!/", "if ", "endif")):
        raise CannotImportError("the line is one of a table of regular expressions, which is not read")
    if key.endswith(":"):
        raise CannotImportError("the key ends in a colon, as in a file of aliases, so Postfix never finds it")
    if key.startswith("@"):
        return [(DOMAIN, f"*@{domain_name(key[1:])}")]
    if "@" in key:
        return [(ADDRESS, address_pattern(key)[1])]
    if not domains:
        raise CannotImportError("a local part counts at the domains of Postfix itself; import with --domain")
    return [(_LOCAL_PART, address_pattern(f"{key}@{domain}")[1]) for domain in domains]


@dataclass(frozen=True, slots=True)
class _Copy:
    """A pattern whose mail is copied, and the address that gets the copy."""

    line: int
    order: float
    pattern: str
    address: str


def import_copies(file: str, text: str, domains: Sequence[str]) -> Section:
    """Return a rule for each address of recipient_bcc or sender_bcc that gets copies, of mail of all clients."""
    section = Section(file)
    copies: list[_Copy] = []
    for line in first_of_each(section, postfix_table(text)):
        try:
            address = _copy_address(line.value)
            copies += [_Copy(line.number, *each, address) for each in _keys(line.key, domains)]
        except CannotImportError as error:
            section.left_out.append(LeftOut(line.number, str(error), line.text))
    by_address: dict[str, list[_Copy]] = {}
    exceptions: dict[str, list[_Copy]] = {}
    for copy in copies:
        by_address.setdefault(copy.address, []).append(copy)
        if copy.order < DOMAIN:
            exceptions.setdefault(_domain(copy.pattern), []).append(copy)
    section.blocks += (_copy_block(file, address, own, exceptions) for address, own in by_address.items())
    return section


def _copy_block(file: str, address: str, own: Sequence[_Copy], exceptions: Mapping[str, Sequence[_Copy]]) -> Block:
    """Return the rule of all patterns that share an address, without those that a more specific line takes."""
    key = "recipient" if file == RECIPIENT_BCC else "sender"
    patterns = tuple(copy.pattern for copy in own)
    others = [copy for pattern in patterns for copy in exceptions.get(pattern, ()) if copy.address != address]
    entries: list[tuple[str, Value]] = [("name", file), ("client", _BCC_CLIENTS), (key, patterns)]
    entries += [(f"unless.{key}", tuple(copy.pattern for copy in others))] if others else []
    return Block("[[rewrite]]", (*entries, ("bcc", address)), (places(file, (copy.line for copy in own)),))


def _domain(address: str) -> str:
    return f"*@{address.rpartition('@')[2]}"


def _copy_address(text: str) -> str:
    try:
        return str(read_bcc(text).address)
    except ValueError:
        raise CannotImportError("a copy goes to one address with its domain") from None
