"""The validator that DNSSEC names must exist at the start, if mail goes by MX."""

import pytest

from mta.config.setting import SettingsError
from mta.config.settings import read_settings
from mta.daemon.secure.validator import require_validator
from mta.dns.dnssec import choosing


def check(**environ: str) -> None:
    require_validator(read_settings({"NET_DEV": "none0", **environ}, host_name=lambda: "relay.test"))


def test_a_missing_library_is_a_mistake_that_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing.check_setting, "__defaults__", (lambda: None,))
    with pytest.raises(SettingsError, match="Install Debian's libunbound8, or set DNSSEC=auto"):
        check(DNSSEC="libunbound")
    for environ in (
        {},
        {"DNSSEC": "trust"},
        {"DNSSEC": "libunbound", "DANE": "off"},
        {"DNSSEC": "libunbound", "SMARTHOST_ADDRESS": "mail.test"},
    ):
        check(**environ)
