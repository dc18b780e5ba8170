"""The settings of forwarded mail: the domain of its rewritten senders, and the secrets that sign them."""

from pathlib import Path

from mta.config import value_types
from mta.config.setting import Setting, SettingsReader
from mta.delivery.local.srs import SrsSettings

SRS_DOMAIN = Setting(
    "SRS_DOMAIN",
    value_types.MAIL_NAME,
    "",
    "The domain of the rewritten senders (SRS) of mail that aliases send to other hosts. Its MX must be this relay.",
    "srs.example.org",
    default_meaning="none: senders stay as they are",
)
SRS_SECRET = Setting(
    "SRS_SECRET",
    value_types.SECRET,
    "",
    "The secret that signs rewritten senders. For a change put the new one first and the old one behind a blank: it is"
    " accepted for reports of the next 21 days.",
    "a-long-random-text",
    secret=True,
    multiline=True,
)

_LEAST_LENGTH = 8


def read_srs(reader: SettingsReader, aliases: Path | None) -> SrsSettings | None:
    """Return the rewriting of senders, or None if SRS_DOMAIN is unset. `aliases` is the aliases file, if there is one.

    Add a mistake if there is no secret or a short one.
    """
    domain, secrets = reader.get(SRS_DOMAIN), tuple(reader.get(SRS_SECRET).split())
    if domain is None:
        if secrets:
            reader.notice("SRS_SECRET has no effect: SRS_DOMAIN is not set")
        return None
    if reader.is_mistaken(SRS_SECRET):
        return None
    if not secrets:
        reader.mistake(SRS_SECRET, "it must be set together with SRS_DOMAIN, because all rewritten senders are signed")
    elif min(map(len, secrets)) < _LEAST_LENGTH:
        reader.mistake(SRS_SECRET, f"each secret must have at least {_LEAST_LENGTH} characters")
    if aliases is None:
        reader.notice("SRS_DOMAIN has no effect: there is no ALIASES_FILE, and only aliases forward mail")
    return SrsSettings(domain, secrets)
