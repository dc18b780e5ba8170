"""`smtprelay dkim`: creates keys, and compares them with their DNS records."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import dns.exception
import dns.nameserver
import dns.resolver

from mta.blocking import fsync_path
from mta.cli.dns_records import RecordVerdict, judge_record, new_key_lines, zone_line
from mta.cli.environment import current_environment
from mta.cli.errors import CommandError, command_errors
from mta.config.settings import read_settings
from mta.dkim.keyring import SUFFIX, DkimKeyError, KeyName, Keyring, open_keyring
from mta.dkim.keys import GOOD_RSA_BITS, KeyType, SigningKey, dns_record, new_key, record_name, to_pem
from mta.smtp.address import AddressError, parse_domain

#: Seconds that one DNS query may take, including all servers and retries.
DNS_SECONDS = 10.0
# RFC 8301 section 3.2: verifiers need not support longer keys.
_MAX_BITS = 4096

#: Returns the TXT records of a name, none if there are none. Raises DNSException.
Ask = Callable[[str], Sequence[str]]
#: A domain and a key that may be its own.
Subject = tuple[str, SigningKey]


@click.group()
def dkim() -> None:
    """Create and check the keys that sign mail."""


def _domain(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else parse_domain(text)
    except AddressError as error:
        raise click.BadParameter(str(error)) from None


@dkim.command("keygen")
@click.argument("domain", callback=_domain)
@click.option("--selector", help="The selector of the key. [default: DKIM_SELECTOR]")
@click.option("--type", type=click.Choice(["rsa", "ed25519"]), default="rsa", show_default=True)
@click.option("--bits", type=click.IntRange(GOOD_RSA_BITS, _MAX_BITS), default=GOOD_RSA_BITS, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file to write. [default: DOMAIN.SELECTOR.pem, in DKIM_KEY_PATH if that is a directory]",
)
def keygen(domain: str, selector: str | None, type: KeyType, bits: int, out: Path | None) -> None:
    """Create a key, and print its DNS records."""
    with command_errors():
        settings = read_settings(current_environment())
    key = new_key(selector or settings.dkim_selector, type, bits)
    path = _place(out, settings.dkim_key_path, f"{domain}.{key.selector}{SUFFIX}")
    _write(path, to_pem(key))
    click.echo(f"; The private key is in {path}, which only its owner can read. The relay must be able to.")
    for line in new_key_lines(domain, key, settings):
        click.echo(line)


@dkim.command("check")
@click.argument("domain", callback=_domain, required=False)
def check(domain: str | None) -> None:
    """Compare the keys in use with their DNS records."""
    with command_errors():
        settings = read_settings(current_environment())
    if settings.dkim_key_path is None:
        raise CommandError("DKIM_KEY_PATH is not set or names no key: mail is not signed")
    try:
        ring = open_keyring(settings.dkim_key_path, settings.dkim_selector, clock=time.monotonic, notice=_warn)
    except DkimKeyError as error:
        raise CommandError(str(error)) from None
    ask = ask_dns(settings.dns_servers)
    verdicts = [_report(subjects, ask) for subjects in _to_check(ring, domain)]
    if any(verdict is not RecordVerdict.OK for verdict in verdicts):
        raise click.exceptions.Exit(1)


def _warn(line: str) -> None:
    click.echo(f"smtprelay: {line}", err=True)


def _place(out: Path | None, keys: Path | None, name: str) -> Path:
    """Return the path of a new key: `out`, or `name` in the directory `out` or `keys`, or in the current one."""
    directory = keys if out is None else out
    if directory is not None and directory.is_dir():
        return directory / name
    return out or Path(name)


def _write(path: Path, pem: bytes) -> None:
    """Create a file that only its owner can read."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123  has no path
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        fsync_path(path.parent)
    except FileExistsError:
        raise CommandError(
            f"{path} exists already, and may be in use: choose another with --out or --selector"
        ) from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}; choose another with --out") from None


def _to_check(ring: Keyring, domain: str | None) -> list[list[Subject]]:
    """Return for each key the domains that it may belong to."""
    if domain is not None:
        keys = ring.keys(domain)
        if not keys:
            raise CommandError(f"there is no key for {domain} in DKIM_KEY_PATH: its mail is not signed")
        return [[(domain, key)] for key in keys]
    if not ring.files():
        raise CommandError("one key signs for every domain: give the DOMAIN to check")
    return [[(name.domain, _key(ring, name)) for name in names] for names in ring.files()]


def _key(ring: Keyring, name: KeyName) -> SigningKey:
    return next(key for key in ring.keys(name.domain) if key.selector == name.selector)


def _report(subjects: Sequence[Subject], ask: Ask) -> RecordVerdict:
    """Print the verdict on a key: for a domain whose record matches, otherwise for the most likely domain."""
    judged = [(domain, key, *_compare(domain, key, ask)) for domain, key in subjects]
    domain, key, verdict, words = next((each for each in judged if each[2] is RecordVerdict.OK), judged[0])
    name = record_name(domain, key.selector)
    line = f"{verdict.value}: {name} ({key.type}, {key.bits} bits)" + (f": {words}" if words else "")
    if verdict in {RecordVerdict.MISSING, RecordVerdict.DIFFERS}:
        line += f"; publish {zone_line(name, dns_record(key))}"
    click.echo(line)
    return verdict


def _compare(domain: str, key: SigningKey, ask: Ask) -> tuple[RecordVerdict, str]:
    try:
        return judge_record(key, ask(record_name(domain, key.selector)))
    except dns.exception.DNSException as error:
        # The text after the colon lists a server for each attempt.
        return RecordVerdict.UNKNOWN, f"the DNS query failed: {str(error).partition(': ')[0]}"


def ask_dns(servers: Sequence[tuple[str, int]], seconds: float = DNS_SECONDS) -> Ask:
    """Return a callable that queries these servers, or the system's if there are none, and waits for the answer."""

    def ask(name: str) -> list[str]:
        resolver = dns.resolver.Resolver(configure=not servers)
        if servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
        try:
            answer = resolver.resolve(f"{name}.", "TXT", lifetime=seconds)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        return [b"".join(found.strings).decode(errors="replace") for found in answer]

    return ask
