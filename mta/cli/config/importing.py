"""`smtprelay config import`: prints rules made of the files of Exim and Postfix in a directory."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from mta.cli.errors import CommandError, command_errors
from mta.config.imports.importing import KNOWN_FILES, Imported, import_files
from mta.config.imports.logins import SASL_PASSWD, USUAL_SECRETS, Secret
from mta.config.imports.postfix_routes import SENDER_RELAY
from mta.config.rules.rule_files import MAX_OCTETS, read_regular_file
from mta.smtp.address import parse_domain

# Below the directory that is named, the usual ones of Debian.
_FOLDERS = ("", "exim4", "postfix")
# docker-mailserver's names of two of the files.
_OTHER_NAMES = {SASL_PASSWD: "postfix-sasl-password.cf", SENDER_RELAY: "postfix-relaymap.cf"}
_MAX_SECRET = 4096


@click.command("import")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--domain",
    "domains",
    multiple=True,
    help="A domain of the host itself, at which names without a domain count; may be repeated.",
)
@click.option(
    "--secrets",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the passwords into files of this directory.",
)
def config_import(directory: Path, domains: tuple[str, ...], secrets: Path | None) -> None:
    """Print rules made of Exim's and Postfix's files.

    The files are those in DIRECTORY with their usual names, such as email-addresses, hubbed_hosts, transport or
    sasl_passwd, and those in its folders exim4 and postfix. The rules are TOML for a file in RULES_DIR. A line that
    becomes no rule stands there as a comment, with the reason. Passwords are never printed.
    """
    with command_errors():
        imported = _imported(_texts(directory), domains, secrets)
        if secrets is not None:
            write_secrets(secrets, imported.secrets)
    click.echo(imported.text, nl=False)
    if imported.left_out:
        lines = "1 line is" if imported.left_out == 1 else f"{imported.left_out} lines are"
        click.echo(f"notice: {lines} left out; the comments tell the reasons", err=True)


def _imported(files: Mapping[str, str], domains: Sequence[str], secrets: Path | None) -> Imported:
    try:
        own = [parse_domain(domain, loose=True) for domain in domains]
        path = USUAL_SECRETS if secrets is None else secrets.absolute()
        return import_files(files, domains=own, secrets=path, secrets_are_written=secrets is not None)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _texts(directory: Path) -> dict[str, str]:
    """Return the known files that are there. Raises CommandError."""
    files: dict[str, str] = {}
    for name in KNOWN_FILES:
        names = [name] + [other for known, other in _OTHER_NAMES.items() if known == name]
        found = [path for folder in _FOLDERS for each in names if (path := directory / folder / each).exists()]
        if len(found) > 1:
            raise CommandError(f"{found[0]} and {found[1]} are both there; name the directory of one of them")
        if found:
            files[name] = _text(found[0])
    if not files:
        raise CommandError(f"{directory} has none of the files that can be imported: {', '.join(KNOWN_FILES)}")
    return files


def _text(path: Path) -> str:
    """Return the text of a file. Octets that are not UTF-8 become characters that no rule accepts."""
    try:
        return read_regular_file(path, MAX_OCTETS).decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n")
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None


def write_secrets(directory: Path, secrets: Sequence[Secret]) -> None:
    """Write each password into a file of its own, which only its owner can read.

    A file that has the password already stays. Raises CommandError before any is written if one has another content,
    and OSError.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    missing = [secret for secret in secrets if not _is_written(directory / secret.name, secret)]
    for secret in missing:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(directory / secret.name, flags, 0o600), "wb") as file:
            file.write(secret.password.encode())


def _is_written(path: Path, secret: Secret) -> bool:
    if not os.path.lexists(path):
        return False
    try:
        if read_regular_file(path, _MAX_SECRET) == secret.password.encode():
            return True
    except ValueError:
        pass
    raise CommandError(f"{path} is there and has another content: remove it, or name another directory")
