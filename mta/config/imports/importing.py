"""Makes one text of rules of all known files of Exim and Postfix in a directory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mta.config.imports.blocks import Section
from mta.config.imports.exim_lists import FILES as EXIM_LISTS
from mta.config.imports.exim_lists import import_lists
from mta.config.imports.exim_maps import EMAIL_ADDRESSES, HUBBED_HOSTS, import_email_addresses, import_hubbed_hosts
from mta.config.imports.logins import (
    PASSWD_CLIENT,
    SASL_PASSWD,
    USUAL_SECRETS,
    ImportedSmarthosts,
    SaslPasswords,
    Secret,
    import_passwd_client,
)
from mta.config.imports.postfix_maps import (
    GENERIC,
    RECIPIENT_BCC,
    SENDER_BCC,
    SENDER_CANONICAL,
    import_address_map,
    import_copies,
)
from mta.config.imports.postfix_routes import (
    SENDER_RELAY,
    TRANSPORT,
    import_sender_relay,
    import_transport,
)
from mta.config.imports.routes import ANY, taken_by
from mta.config.rules.rule_files import MAX_OCTETS
from mta.config.rules.rule_reader import MAX_RULES

#: The files that can be imported, in the order of their sections.
KNOWN_FILES = (
    *EXIM_LISTS,
    EMAIL_ADDRESSES,
    SENDER_CANONICAL,
    SENDER_BCC,
    RECIPIENT_BCC,
    GENERIC,
    PASSWD_CLIENT,
    SASL_PASSWD,
    HUBBED_HOSTS,
    TRANSPORT,
    SENDER_RELAY,
)
_HEAD = "# Rules made by smtprelay config import. A comment tells of each line that is left out.\n"
_BEHIND_GENERIC = (
    "Postfix looks for senders before generic changes them; here they are those that its rule leaves, so add the new"
    " addresses."
)


@dataclass(frozen=True, slots=True)
class Imported:
    """Rules as TOML, the passwords that they name by file, and the number of lines that became none."""

    text: str
    secrets: tuple[Secret, ...]
    left_out: int


def import_files(
    files: Mapping[str, str],
    *,
    domains: Sequence[str] = (),
    secrets: PurePath = USUAL_SECRETS,
    secrets_are_written: bool = False,
) -> Imported:
    """Return the rules of files, which are texts by their names in KNOWN_FILES.

    `domains` are those of the host itself, at which a local part without a domain counts. The tables of logins name
    files of passwords in `secrets`. Raises ValueError, with words for the operator, if there are more rules than a file
    may have.
    """
    smarthosts = ImportedSmarthosts(secrets, written=secrets_are_written)
    sections = list(_sections(files, domains, smarthosts))
    count = sum(len(section.blocks) for section in sections)
    text = "\n".join([_HEAD, *(section.text() for section in sections)])
    if count > MAX_RULES or len(text.encode(errors="replace")) > MAX_OCTETS:
        raise ValueError(
            f"the files become {count} rules, and a file has at most {MAX_RULES} rules and {MAX_OCTETS} octets; import"
            " them one by one, and put long lists into files of their own"
        )
    return Imported(text, tuple(smarthosts.secrets), sum(len(section.left_out) for section in sections))


def _sections(files: Mapping[str, str], domains: Sequence[str], smarthosts: ImportedSmarthosts) -> Iterator[Section]:
    yield from import_lists(files)
    if EMAIL_ADDRESSES in files:
        yield import_email_addresses(files[EMAIL_ADDRESSES], domains)
    if SENDER_CANONICAL in files:
        yield import_address_map(SENDER_CANONICAL, files[SENDER_CANONICAL], domains)
    yield from (import_copies(name, files[name], domains) for name in (SENDER_BCC, RECIPIENT_BCC) if name in files)
    # Behind the copies, because Postfix changes addresses by it when a message leaves.
    if GENERIC in files:
        yield import_address_map(GENERIC, files[GENERIC], domains)
    if PASSWD_CLIENT in files:
        yield import_passwd_client(files[PASSWD_CLIENT], smarthosts)
    yield from _routes(files, smarthosts)


def _routes(files: Mapping[str, str], smarthosts: ImportedSmarthosts) -> Iterator[Section]:
    logins = SaslPasswords(files.get(SASL_PASSWD, ""), smarthosts)
    found = []
    if HUBBED_HOSTS in files:
        found.append(import_hubbed_hosts(files[HUBBED_HOSTS]))
    taken = [pattern for section in found for pattern in taken_by(section.blocks)]
    is_reached = True
    if TRANSPORT in files:
        found.append(import_transport(files[TRANSPORT], logins, taken))
        is_reached = ANY not in taken_by(found[-1].blocks)
    if SENDER_RELAY in files:
        found.append(import_sender_relay(files[SENDER_RELAY], logins, is_reached=is_reached))
        if GENERIC in files:
            found[-1].comments.append(_BEHIND_GENERIC)
    if SASL_PASSWD in files:
        yield logins.finish()
    yield from found
