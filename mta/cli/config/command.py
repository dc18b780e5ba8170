"""`smtprelay config`: prints the settings, a summary of them, and their documentation, and imports rules.

A check also reads the files that settings name, as a start does, to find mistakes in them.
"""

import difflib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from textwrap import wrap

import click

from mta.cli.config.importing import config_import
from mta.cli.environment import current_environment, env_file_option
from mta.cli.errors import command_errors
from mta.config.help_text import DETAILS
from mta.config.setting import FILE_SUFFIX, Setting, SettingsError, Source
from mta.config.settings import EffectiveSetting, Settings, read_settings
from mta.config.summary import rule_lines, startup_summary
from mta.config.table import MACROS_FILE, SETTINGS
from mta.daemon.secure.validator import require_validator
from mta.delivery.local.aliases import AliasesFile
from mta.dkim.keyring import DkimKeyError, open_keyring
from mta.tls.client_certificate import read_client_certificate
from mta.tls.keypair import CertificateError, read_pair

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_SOURCES = {
    Source.ENVIRONMENT: "from the environment",
    Source.FILE: f"from the file that {{name}}{FILE_SUFFIX} names",
    Source.MACROS: f"from the macros in {MACROS_FILE.name}",
}
_WIDTH = 100
_INDENT = "    "


def check_files(settings: Settings, now: float) -> tuple[str, ...]:
    """Return notices about certificate, DKIM keys and aliases. Raises SettingsError if a start would fail.

    `now` is seconds since 1970.
    """
    mistakes: list[str] = []
    notices: list[str] = []
    for certificate, key, prefix in _server_certificates(settings):
        try:
            problem = read_pair(certificate, key, prefix).problem(now)
            notices += [f"{prefix}CERTIFICATE_PATH={certificate}: {problem}"] if problem else []
        except CertificateError as error:
            mistakes.append(str(error))
    if settings.client_certificate:
        try:
            client_problem = read_client_certificate(settings.client_certificate, notices.append).problem(now)
            notices += [client_problem] if client_problem else []
        except CertificateError as error:
            mistakes.append(str(error))
    if settings.dkim_key_path:
        try:
            open_keyring(settings.dkim_key_path, settings.dkim_selector, clock=time.monotonic, notice=notices.append)
        except DkimKeyError as error:
            mistakes.append(str(error))
    try:
        require_validator(settings)
    except SettingsError as error:
        mistakes += error.mistakes
    if settings.aliases_file:
        AliasesFile(settings.aliases_file, notices.append)
    if mistakes:
        raise SettingsError(mistakes)
    return tuple(notices)


def _server_certificates(settings: Settings) -> Iterator[tuple[Path, Path, str]]:
    """Yield the certificates that clients are shown: their files, those of their keys, and the prefix of both names."""
    if settings.certificate_path and settings.key_path:
        yield settings.certificate_path, settings.key_path, ""
    if settings.admin is not None and settings.admin.certificate is not None:
        yield *settings.admin.certificate, "ADMIN_"


def show_settings(environ: Mapping[str, str]) -> tuple[list[str], tuple[str, ...]]:
    """Return all settings as lines `NAME = value`, with secrets masked, and the notices. Raises SettingsError."""
    settings = read_settings(environ)
    return [str(each) for each in settings.effective], settings.notices


def check_settings(environ: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the summary that a start logs with a line for each rule, and the notices.

    The files that settings name are read, too. Raises SettingsError if a start would fail.
    """
    settings = read_settings(environ)
    return (*startup_summary(settings), *rule_lines(settings)), (*settings.notices, *check_files(settings, time.time()))


def explain_settings(environ: Mapping[str, str], names: Sequence[str] = ()) -> Iterator[str]:
    """Yield lines about these settings, or all: value, origin, default and documentation. Secrets are masked.

    Raises SettingsError, and KeyError with words for the operator for an unknown name.
    """
    wanted = [_named(name) for name in names] or list(_BY_NAME)
    return _explanations(read_settings(environ), wanted)


def _explanations(settings: Settings, wanted: Sequence[str]) -> Iterator[str]:
    effective = {each.name: each for each in settings.effective}
    for number, name in enumerate(dict.fromkeys(wanted)):
        if number:
            yield ""
        yield from _explanation(_BY_NAME[name], effective[name])


def _explanation(setting: Setting[object], now: EffectiveSetting) -> Iterator[str]:
    default = names_and_default(setting)[1]
    yield str(now)
    if now.source is Source.DEFAULT:
        yield f"{_INDENT}not set; the default is {default}"
    else:
        yield f"{_INDENT}{_SOURCES[now.source].format(name=setting.name)}; the default is {default}"
    for text in (setting.help, DETAILS.get(setting.name, "")):
        yield from wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)
    yield f"{_INDENT}example: {setting.name}={quote(setting.example)}"


def _named(name: str) -> str:
    """Return the name of the setting; the name of a secret may end in `_FILE`."""
    upper = name.upper()
    plain = upper.removesuffix(FILE_SUFFIX)
    if upper in _BY_NAME:
        return upper
    if plain in _BY_NAME and _BY_NAME[plain].secret:
        return plain
    close = difflib.get_close_matches(upper, _BY_NAME, n=1)
    raise KeyError(f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else ""))


def names_and_default(setting: Setting[object]) -> tuple[str, str]:
    """Return, in Markdown, the variables of a setting, and the meaning of its default."""
    names = f"`{setting.name}`" + (f", `{setting.name}{FILE_SUFFIX}`" if setting.secret else "")
    return names, setting.default_meaning or (f"`{setting.default}`" if setting.default else "none")


@click.group()
def config() -> None:
    """Show and check the settings, and import rules."""


config.add_command(config_import)


@config.command("show")
@env_file_option
def config_show() -> None:
    """Print all settings, with secrets masked.

    Notices go to standard error.
    """
    with command_errors():
        _print_settings(*show_settings(current_environment()))


@config.command("check")
@env_file_option
def config_check() -> None:
    """Check the settings and print their summary.

    The summary is the one that a start logs, and then come the rules of RULES_DIR. Notices go to standard error.
    Mistakes end the command with exit status 1.
    """
    with command_errors():
        _print_settings(*check_settings(current_environment()))


@config.command("explain")
@env_file_option
@click.argument("names", nargs=-1)
def config_explain(names: tuple[str, ...]) -> None:
    """Print the value and documentation of settings.

    Without NAMES, all settings are printed. Secrets are masked.
    """
    try:
        with command_errors():
            click.echo("\n".join(explain_settings(current_environment(), names)))
    except KeyError as error:
        raise click.UsageError(error.args[0]) from None


def _print_settings(lines: Sequence[str], notices: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)
    for notice in notices:
        click.echo(f"notice: {notice}", err=True)
