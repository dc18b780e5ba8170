"""The settings as an operator reads them: what is in force, and the table in the README."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mta.config.exim import write_hosts
from mta.config.setting import FILE_SUFFIX, MASK, Reading, Setting, SettingsError
from mta.config.settings import Settings, read_settings
from mta.config.table import MAILNAME, QUEUE_DIR, SETTINGS
from mta.routing.route import Smarthost

__all__ = ["SettingsError", "markdown_table", "queue_directory", "show_settings"]


def queue_directory(environ: Mapping[str, str]) -> Path:
    """Return QUEUE_DIR alone, whatever is wrong elsewhere. Raises SettingsError."""
    reading = Reading(environ)
    directory = reading.of(QUEUE_DIR)
    reading.check()
    return directory


def show_settings(environ: Mapping[str, str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the settings in force as lines `NAME = value`, then what they amount to; and the notices.

    A secret is masked. Raises SettingsError.
    """
    settings = read_settings(environ)
    reading = Reading(environ)
    lines = [f"{setting.name} = {_shown(setting, reading, settings)}".rstrip() for setting in SETTINGS]
    return [*lines, *_consequences(settings)], settings.notices


def _shown(setting: Setting[object], reading: Reading, settings: Settings) -> str:
    if setting.secret:
        return MASK if reading.is_set(setting) else ""
    if setting.name == MAILNAME.name:
        return settings.mailname
    return setting.form.show(reading.of(setting))


def _consequences(settings: Settings) -> Iterator[str]:
    yield f"trusted clients = {settings.trusted}"
    yield f"local domains = {settings.local_domains}"
    yield f"other mail goes to = {_smarthost(settings.smarthost) if settings.smarthost else _direct(settings)}"


def _direct(settings: Settings) -> str:
    return f"the MX hosts of its domain, port {settings.port_out}"


def _smarthost(smarthost: Smarthost) -> str:
    login = "without a login"
    if smarthost.credentials:
        login = f"with a login for {'; '.join(smarthost.aliases) if smarthost.aliases else 'each of them'}"
    return f"{write_hosts(smarthost.hosts)}, TLS: {smarthost.tls.value}, {login}"


def markdown_table() -> str:
    """Return the settings as the table of the README."""
    rows = ["| variable | default | what it does |", "|---|---|---|", *map(_row, SETTINGS)]
    return "\n".join(rows) + "\n"


def _row(setting: Setting[object]) -> str:
    names = f"`{setting.name}`" + (f", `{setting.name}{FILE_SUFFIX}`" if setting.secret else "")
    default = setting.default_meaning or (f"`{setting.default}`" if setting.default else "none")
    return f"| {names} | {default} | {setting.help} |"
