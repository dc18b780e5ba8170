"""Reads the files that settings name as a start would, so that a check finds what is wrong in them."""

import time

from mta.config.settings import Settings, SettingsError
from mta.delivery.aliasfile import AliasesFile
from mta.delivery.keyring import DkimKeyError, open_keyring
from mta.inbound.keypair import CertificateError, read_pair


def check_files(settings: Settings, now: float) -> tuple[str, ...]:
    """Return notices about certificate, DKIM keys and aliases. Raises SettingsError with what would end a start.

    `now` is seconds since 1970.
    """
    mistakes: list[str] = []
    notices: list[str] = []
    if settings.certificate_path and settings.key_path:
        try:
            problem = read_pair(settings.certificate_path, settings.key_path).problem(now)
            notices += [f"CERTIFICATE_PATH={settings.certificate_path}: {problem}"] if problem else []
        except CertificateError as error:
            mistakes.append(str(error))
    if settings.dkim_key_path:
        try:
            open_keyring(settings.dkim_key_path, settings.dkim_selector, clock=time.monotonic, tell=notices.append)
        except DkimKeyError as error:
            mistakes.append(str(error))
    if settings.aliases_file:
        AliasesFile(settings.aliases_file, notices.append)
    if mistakes:
        raise SettingsError(mistakes)
    return tuple(notices)
