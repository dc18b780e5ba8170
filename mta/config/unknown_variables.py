"""Reports variables and mounted files that have no effect, or another effect than the operator may believe."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mta.config import table
from mta.config.setting import FILE_SUFFIX, SettingsReader, is_quoted

# Kubernetes and Docker set variables such as RELAY_SERVICE_HOST for every service that is called relay.
_OUR_PREFIX = re.compile(r"(?:SMARTHOST|RELAY|GMAIL|O365|SES|DKIM|SUBMISSION)_(?!SERVICE_|PORT_[0-9])[A-Z0-9_]+")
# Similarity of two names, from 0 to 1, from which one is taken for the other misspelled. It is high because the
# environment of a container also has the variables of other programs.
_MISSPELLED = 0.88
# Characters of a name that is compared at all unless it has a prefix of the relay's settings.
_SHORTEST = 6
# Mail readers, procmail and web applications use these names, which are close to MAIL_DIR, GMAIL_USER and SES_USER.
_OF_OTHER_PROGRAMS = {"MAILDIR"}
_CLOSE_TO_OTHER_PROGRAMS = ("GMAIL_", "SES_")
# Usual words for the parts of a login and of a smarthost, and names of the smarthost in other images and in Postfix.
# SMTP_HOST and the like are not among them because any program may use them.
_WORDS = {
    "USER": ("USER", "USERNAME", "LOGIN"),
    "PASSWORD": ("PASSWORD", "PASS", "PASSW", "PASSWD", "PWD", "PW"),
    "ADDRESS": ("ADDRESS", "HOST", "NAME", "SERVER"),
    "PORT": ("PORT",),
}
_SMARTHOSTS = ("SMARTHOST", "SMART_HOST", "SMART", "RELAYHOST", "RELAY_HOST", "RELAY", "DEFAULT_RELAY")
#: The names that boky/postfix and docker-mailserver have for settings of the relay. docs/migrating.md lists them.
IN_OTHER_IMAGES = {
    "XOAUTH2_CLIENT_ID": table.SMARTHOST_CLIENT_ID.name,
    "XOAUTH2_SECRET": table.SMARTHOST_CLIENT_SECRET.name,
    "XOAUTH2_INITIAL_REFRESH_TOKEN": table.SMARTHOST_REFRESH_TOKEN.name,
    "XOAUTH2_TOKEN_ENDPOINT": table.SMARTHOST_TOKEN_URL.name,
    "SASL_PASSWD": table.SMARTHOST_PASSWORD.name,
    "RELAYHOST_TLS_LEVEL": table.SMARTHOST_TLS.name,
    "SMTPD_SASL_USERS": table.AUTH_USERS.name,
    "PERMIT_DOCKER": table.RELAY_NETWORKS.name,
    "OVERRIDE_HOSTNAME": table.MAILNAME.name,
    "ALLOWED_SENDER_DOMAINS": table.ALLOWED_SENDERS.name,
    "MASQUERADED_DOMAINS": table.MASQUERADE_DOMAINS.name,
}
_ALSO_CALLED = {
    **{
        f"{also}_{word}{suffix}": f"{account}_{part}{suffix}"
        for account, names, parts in (
            ("SMARTHOST", _SMARTHOSTS, ("USER", "PASSWORD", "ADDRESS", "PORT")),
            ("GMAIL", ("GMAIL",), ("USER", "PASSWORD")),
            ("SES", ("SES",), ("USER", "PASSWORD")),
        )
        for also in names
        for part in parts
        for word in _WORDS[part]
        for suffix in ("", FILE_SUFFIX)
    },
    **dict.fromkeys(("SMARTHOST", "SMART_HOST", "RELAYHOST", "RELAY_HOST"), table.SMARTHOST_ADDRESS.name),
    **IN_OTHER_IMAGES,
    "SASL_USERS": table.AUTH_USERS.name,
    "SMTP_SASL_USERS": table.AUTH_USERS.name,
    **{f"OFFICE365_{part}": f"O365_{part}" for part in ("USER", "TENANT", "CLIENT_ID", "CLIENT_SECRET")},
    "O365_TENANT_ID": table.O365_TENANT.name,
    "O365_USERNAME": table.O365_USER.name,
    "CERT_PATH": table.CERTIFICATE_PATH.name,
    "NET_DEVICE": table.NET_DEV.name,
    "QUEUE_DIRECTORY": table.QUEUE_DIR.name,
}
# Without one of these, mail takes another route than the operator meant, or goes without a login, and may be refused.
_ROUTE = {
    setting.name: setting
    for setting in (
        table.SMARTHOST_ADDRESS,
        table.SMARTHOST_USER,
        table.SMARTHOST_PASSWORD,
        table.SMARTHOST_TOKEN_URL,
        table.SMARTHOST_CLIENT_ID,
        table.SMARTHOST_CLIENT_SECRET,
        table.SMARTHOST_REFRESH_TOKEN,
        table.GMAIL_USER,
        table.GMAIL_PASSWORD,
        table.GMAIL_REFRESH_TOKEN,
        table.GMAIL_SERVICE_ACCOUNT,
        table.O365_USER,
        table.O365_TENANT,
        table.O365_CLIENT_ID,
        table.O365_CLIENT_SECRET,
        table.O365_REFRESH_TOKEN,
        table.SES_USER,
        table.SES_PASSWORD,
    )
}
_NEGATIVE = {"0", "false", "no", "off"}
_EXIM = "usr/sbin/exim4"
_IMPORTED = "smtprelay config import makes rules of it"
# Files that users of the Exim image mount, relative to the root, and the effect that they do not have here.
_MOUNTED = (
    ("etc/email-addresses", _IMPORTED),
    ("etc/exim4/conf.d", "Exim's files are not run"),
    ("etc/exim4/exim4.conf.template", "Exim's files are not run"),
    ("etc/exim4/hubbed_hosts", _IMPORTED),
    ("etc/exim4/local_host_blacklist", _IMPORTED),
    ("etc/exim4/host_local_deny_exceptions", _IMPORTED),
    ("etc/exim4/local_sender_blacklist", _IMPORTED),
    ("etc/exim4/passwd.client", _IMPORTED),
    ("etc/exim4/sender_local_deny_exceptions", _IMPORTED),
    ("etc/exim4/local_sender_callout", "no callouts are made"),
    ("etc/exim4/local_rcpt_callout", "no callouts are made"),
)


def is_negative(text: str) -> bool:
    """Whether this is a word for no."""
    return text.lower() in _NEGATIVE


def notice_unknown_variables(reader: SettingsReader) -> None:
    """Add a notice for each variable whose name is close to a setting's. Its value is not shown: it may be a secret.

    A variable that stands in place of an unset host, user or password of the smarthost is a mistake instead.
    """
    plain = {setting.name for setting in table.SETTINGS}
    known = plain | {setting.name + FILE_SUFFIX for setting in table.SETTINGS if setting.secret}
    names = reader.names()
    for name in names:
        if name in known or _is_service_port(name, names):
            continue
        if (setting := name.removesuffix(FILE_SUFFIX)) in plain:
            _notice(
                reader, name, setting, f"{name} has no effect: only secrets are read from files; set {setting} itself"
            )
        elif meant := _meant(name, known):
            _notice(reader, name, meant, f"{name} is not a setting of smtprelay; did you mean {meant}?")
        elif _OUR_PREFIX.fullmatch(name):
            similar = _closest(name, known)
            reader.notice(f"{name} is not a setting of smtprelay" + (f"; did you mean {similar}?" if similar else ""))


def _meant(name: str, known: set[str]) -> str:
    """Return the setting that an operator must have meant by a name, or "" if it may as well be another program's."""
    if name in _ALSO_CALLED:
        return _ALSO_CALLED[name]
    if name.upper() in known:
        return name.upper()
    candidates = known
    if not _OUR_PREFIX.fullmatch(name):
        if len(name) < _SHORTEST or name in _OF_OTHER_PROGRAMS:
            return ""
        candidates = {each for each in known if not each.startswith(_CLOSE_TO_OTHER_PROGRAMS)}
    return _closest(name, candidates, _MISSPELLED)


def _closest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the most similar of the names whose similarity is `cutoff` or more, or ""."""
    close = [each for each in sorted(names) if _may_be_close(name, each, cutoff)]
    if not close:
        return ""
    # Imported if needed, because few environments have such a name.
    from difflib import get_close_matches  # noqa: PLC0415

    return next(iter(get_close_matches(name, close, n=1, cutoff=cutoff)), "")


def _may_be_close(name: str, other: str, cutoff: float) -> bool:
    """Whether the characters that two names share, in whatever order, allow for a similarity of `cutoff`."""
    least = cutoff * (len(name) + len(other)) / 2
    return min(len(name), len(other)) >= least and (Counter(name) & Counter(other)).total() >= least


def notice_quotes(reader: SettingsReader) -> None:
    """Add notices about values in quotation marks, and secrets with a leading blank or several lines. Show no value."""
    quoted = [setting.name for setting in table.SETTINGS if is_quoted(reader.text(setting))]
    if quoted:
        reader.notice(
            f"{', '.join(quoted)}: the quotation marks around the value count as part of it; remove them unless that is"
            " meant (docker --env-file and Kubernetes keep them)"
        )
    for setting in table.SETTINGS:
        if not setting.secret or setting.multiline:
            continue
        if reader.text(setting)[:1].isspace():
            reader.notice(f"{setting.name} begins with a blank, which counts as part of it")
        if "\n" in reader.text(setting):
            reader.notice(f"{setting.name} has more than one line, and all of them count; a login has one")


def _notice(reader: SettingsReader, name: str, meant: str, words: str) -> None:
    """Add a notice, or a mistake if `name` is set in place of an unset setting that decides the route of mail."""
    missing = _ROUTE.get(meant.removesuffix(FILE_SUFFIX))
    if missing is None or reader.is_set(missing):
        reader.notice(words)
    else:
        reader.mistake(missing, f"it is not set, but {name} is, which is not a setting: rename that to {meant}")


def _is_service_port(name: str, names: list[str]) -> bool:
    """Whether Docker or Kubernetes set this for a service, together with variables such as `..._PORT_25_TCP`."""
    return name.endswith("_PORT") and any(other.startswith(f"{name}_") for other in names)


def notice_exim(reader: SettingsReader, root: Path) -> None:
    """Add notices about mounted files of Exim's, unless Exim is installed here."""
    if _is_there(root / _EXIM):
        return
    for path, instead in _MOUNTED:
        if _is_there(root / path):
            reader.notice(f"/{path} is there but is not read: {instead}")


def notice_split_config(reader: SettingsReader) -> None:
    """Add a notice about USE_SPLIT_CONFIG. Call this if there are no rules, which do what Exim's files did."""
    split = reader.text(table.USE_SPLIT_CONFIG)
    if split and not is_negative(split):
        reader.notice(
            "USE_SPLIT_CONFIG has no effect: Exim's files cannot be run; rules of your own stand in RULES_DIR"
        )


def _is_there(path: Path) -> bool:
    """Whether a file is visible. One in a directory that the relay's user cannot search counts as absent."""
    try:
        return path.exists()
    except OSError:
        return False
