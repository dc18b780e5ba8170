"""The settings of forwarded mail: the domain of rewritten senders, and their secrets."""

from mta.config.readers.forwarding import read_srs
from mta.config.setting import SettingsReader
from mta.delivery.local.srs import SrsSettings
from tests.config.readers.reading import mistake, read

SECRET = "battery-staple"


def test_senders_stay_by_default():
    assert read().srs is None


def test_the_domain_is_local_and_the_secrets_are_not_shown():
    settings = read(SRS_DOMAIN="SRS.example.org", SRS_SECRET=f"{SECRET}\nthe-old-one")
    assert settings.srs == SrsSettings("srs.example.org", (SECRET, "the-old-one"))
    assert settings.local_domains.matches("srs.example.org")
    assert SECRET not in repr(settings) + "".join(map(str, settings.effective))


def test_a_domain_needs_a_secret_that_is_long_enough():
    assert "SRS_SECRET: it must be set together with SRS_DOMAIN" in mistake(SRS_DOMAIN="srs.example.org")
    assert "at least 8 characters" in mistake(SRS_DOMAIN="srs.example.org", SRS_SECRET=f"{SECRET} short")


def test_settings_without_effect_are_told():
    assert "SRS_SECRET has no effect: SRS_DOMAIN is not set" in read(SRS_SECRET=SECRET).notices
    reader = SettingsReader({"SRS_DOMAIN": "srs.example.org", "SRS_SECRET": SECRET})
    assert read_srs(reader, aliases=None) is not None
    assert reader.notices == ["SRS_DOMAIN has no effect: there is no ALIASES_FILE, and only aliases forward mail"]
