"""Tells at start of settings and mounts that have no effect, or another one than the operator may believe."""

import difflib
import re
from itertools import zip_longest
from pathlib import Path

from mta.config import table
from mta.config.setting import FILE_SUFFIX, SettingsReader, is_quoted

# Kubernetes and Docker set variables such as RELAY_SERVICE_HOST for every service that is called relay.
_LIKE_OURS = re.compile(r"(?:SMARTHOST|RELAY|GMAIL|SES|DKIM)_(?!SERVICE_|PORT_[0-9])[A-Z0-9_]+")
# How alike two names are, from 0 to 1, before one is taken for the other misspelled: beside a container's own variables
# stand those of every other program.
_MISSPELLED = 0.88
_SHORTEST = 6
# MAIL_USER is many a program's own.
_TOO_LIKE_OTHERS = ("GMAIL_", "SES_")
# Of mail readers and of procmail, and set on many hosts.
_OF_OTHERS = {"MAILDIR"}
# Without one of these, mail takes another route than the operator meant, or goes without a login, and may be refused.
_ROUTE = {
    setting.name: setting
    for setting in (
        table.SMARTHOST_ADDRESS,
        table.SMARTHOST_USER,
        table.SMARTHOST_PASSWORD,
        table.GMAIL_USER,
        table.GMAIL_PASSWORD,
        table.SES_USER,
        table.SES_PASSWORD,
    )
}
# Names of the smarthost in other images and in Postfix. SMTP_HOST may be of any program.
_ALSO_SMARTHOST = {"SMARTHOST", "SMART_HOST", "SMARTHOST_HOST", "SMARTHOST_NAME", "RELAYHOST", "RELAY_HOST"}
_NEGATIVE = {"0", "false", "no", "off"}
_EXIM = "usr/sbin/exim4"
# What people mounted into the image we replace, below the root.
_MOUNTED = (
    ("etc/email-addresses", "addresses are not rewritten"),
    ("etc/exim4/conf.d", "Exim's files are not run"),
    ("etc/exim4/exim4.conf.template", "Exim's files are not run"),
    ("etc/exim4/hubbed_hosts", "SMARTHOST_ADDRESS is the only route of one's own"),
    ("etc/exim4/local_host_blacklist", "hosts are not blocked"),
    ("etc/exim4/host_local_deny_exceptions", "hosts are not blocked"),
    ("etc/exim4/local_sender_blacklist", "senders are not blocked"),
    ("etc/exim4/sender_local_deny_exceptions", "senders are not blocked"),
    ("etc/exim4/local_sender_callout", "nobody is called back"),
    ("etc/exim4/local_rcpt_callout", "nobody is called back"),
)


def is_negative(text: str) -> bool:
    """Whether an operator who writes this means no."""
    return text.lower() in _NEGATIVE


def notice_unknown_variables(reading: SettingsReader) -> None:
    """Tell of variables that are spelled almost like a setting. Their values are not shown: one may be a secret.

    One that stands in place of an unset host, user or password of the smarthost is a mistake.
    """
    plain = {setting.name for setting in table.SETTINGS}
    known = plain | {setting.name + FILE_SUFFIX for setting in table.SETTINGS if setting.secret}
    for name in reading.names():
        if name in known:
            continue
        if name in _ALSO_SMARTHOST or name.upper() in known:
            ours = name.upper() if name.upper() in known else table.SMARTHOST_ADDRESS.name
            _notice(reading, name, ours, f"{name} is not a setting of ours; did you mean {ours}?")
        elif name.endswith(FILE_SUFFIX) and (ours := name.removesuffix(FILE_SUFFIX)) in plain:
            _notice(reading, name, ours, f"{name} has no effect: only secrets are read from files; set {ours} itself")
        elif _LIKE_OURS.fullmatch(name):
            close = (difflib.get_close_matches(name, sorted(known), n=1) or [""])[0]
            same = bool(close) and (_likeness(name, close) >= _MISSPELLED or _abbreviates(name, close))
            meant = f"; did you mean {close}?" if close else ""
            _notice(reading, name, close if same else "", f"{name} is not a setting of ours{meant}")
        elif not _is_service_port(name, reading.names()) and (meant := _misspelled(name, known)):
            _notice(reading, name, meant, f"{name} is not a setting of ours; did you mean {meant}?")


def notice_quotes(reading: SettingsReader) -> None:
    """Tell of values in quotation marks, and of secrets behind a blank or of several lines. No value is shown."""
    quoted = [setting.name for setting in table.SETTINGS if is_quoted(reading.text(setting))]
    if quoted:
        reading.notice(
            f"{', '.join(quoted)}: the quotation marks around the value count as part of it; remove them unless that is"
            " meant (docker --env-file and Kubernetes keep them)"
        )
    for setting in table.SETTINGS:
        if setting.secret and reading.text(setting)[:1].isspace():
            reading.notice(f"{setting.name} begins with a blank, which counts as part of it")
        if setting.secret and "\n" in reading.text(setting):
            reading.notice(f"{setting.name} has more than one line, and all of them count; a login has one")


def _notice(reading: SettingsReader, name: str, meant: str, words: str) -> None:
    """Keep a notice, or the mistake that `name` is set in place of a setting that decides where mail goes."""
    missing = _ROUTE.get(meant.removesuffix(FILE_SUFFIX))
    if missing is None or reading.is_set(missing):
        reading.notice(words)
    else:
        reading.mistake(missing, f"it is not set, but {name} is, which is not a setting: rename that to {meant}")


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _misspelled(name: str, known: set[str]) -> str:
    """Return the setting whose name this almost is, or is with its words cut short or written out; or ""."""
    if name in _OF_OTHERS or len(name) < _SHORTEST:
        return ""
    longer = sorted(ours for ours in known if len(ours) >= _SHORTEST and not ours.startswith(_TOO_LIKE_OTHERS))
    close = difflib.get_close_matches(name, longer, n=1, cutoff=_MISSPELLED)
    return close[0] if close else next((ours for ours in longer if _abbreviates(name, ours)), "")


def _abbreviates(one: str, other: str) -> bool:
    """Whether two names have the same words, of three letters or more, though one has some cut short."""
    pairs = list(zip_longest(one.split("_"), other.split("_"), fillvalue=""))
    return len(pairs) > 1 and all(min(len(a), len(b)) >= 3 and (a.startswith(b) or b.startswith(a)) for a, b in pairs)


def _is_service_port(name: str, names: list[str]) -> bool:
    """Whether Docker or Kubernetes set this for a service, with `..._PORT_25_TCP` and others beside it."""
    return name.endswith("_PORT") and any(other.startswith(f"{name}_") for other in names)


def notice_exim(reading: SettingsReader, root: Path) -> None:
    """Tell of Exim's own files that someone mounted, unless Exim is installed here, and of USE_SPLIT_CONFIG."""
    split = reading.text(table.USE_SPLIT_CONFIG)
    if split and not is_negative(split):
        reading.notice("USE_SPLIT_CONFIG has no effect: Exim's files cannot be run; all other settings hold")
    if _is_there(root / _EXIM):
        return
    for path, instead in _MOUNTED:
        if _is_there(root / path):
            reading.notice(f"/{path} is there but is not read: {instead}")


def _is_there(path: Path) -> bool:
    """Whether a file can be seen: one in a directory that is closed to us is no business of ours."""
    try:
        return path.exists()
    except OSError:
        return False
