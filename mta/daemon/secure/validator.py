"""Checks that the validator of DNS answers exists, for the start and for `smtprelay config`, which needs no more."""

from mta.config.readers.secure_delivery import DnssecSource
from mta.config.setting import SettingsError
from mta.config.settings import Settings


def require_validator(settings: Settings) -> None:
    """Raise SettingsError if this system lacks the validator that DNSSEC names, and mail goes by MX."""
    secure = settings.secure_delivery
    if secure.uses_dane and secure.dnssec is DnssecSource.LIBUNBOUND and settings.smarthost is None:
        from mta.dns.dnssec.choosing import DnssecUnavailable, check_setting  # noqa: PLC0415

        try:
            check_setting(secure.dnssec.value)
        except DnssecUnavailable as error:
            raise SettingsError([str(error)]) from None
