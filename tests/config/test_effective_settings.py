"""The values of all settings as text, with their origin and with secrets masked."""

from mta.config.setting import SettingsReader, Source
from mta.config.settings import EffectiveSetting, effective_settings
from mta.config.table import SETTINGS


def test_every_setting_is_there_in_the_order_of_the_table() -> None:
    found = effective_settings(SettingsReader({"PORT": "26"}), {})
    assert [each.name for each in found] == [setting.name for setting in SETTINGS]
    assert found[0] == EffectiveSetting("PORT", "26", Source.ENVIRONMENT)
    assert found[1] == EffectiveSetting("BIND_IP", "0.0.0.0", Source.DEFAULT)


def test_a_secret_is_masked_and_an_empty_one_empty() -> None:
    found = {each.name: str(each) for each in effective_settings(SettingsReader({"SES_USER": "hunter2"}), {})}
    assert found["SES_USER"] == "SES_USER = ****"
    assert found["SES_PASSWORD"] == "SES_PASSWORD ="


def test_a_value_found_replaces_only_an_empty_default() -> None:
    found = {
        each.name: each.text for each in effective_settings(SettingsReader({}), {"MAILNAME": "host.test", "PORT": "26"})
    }
    assert (found["MAILNAME"], found["PORT"]) == ("host.test", "25")
