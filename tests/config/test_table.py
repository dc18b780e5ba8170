"""The table of settings: defaults, examples and help of each one."""

import re

import pytest

from mta.config.setting import Setting
from mta.config.table import SETTINGS

NAMES = [setting.name for setting in SETTINGS]


def test_the_table_has_every_setting_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert NAMES[:4] == ["PORT", "BIND_IP", "BIND_IP6", "DISABLE_IPV6"]
    assert len(NAMES) == 95


def test_the_secrets_are_the_six_of_the_exim_image_the_parts_of_grants_the_users_the_events_and_the_passwords() -> None:
    logins = {f"{prefix}_{half}" for prefix in ("SMARTHOST", "GMAIL", "SES") for half in ("USER", "PASSWORD")}
    clients = {f"{prefix}_CLIENT_{part}" for prefix in ("SMARTHOST", "GMAIL") for part in ("ID", "SECRET")}
    tokens = {f"{prefix}_REFRESH_TOKEN" for prefix in ("SMARTHOST", "GMAIL", "O365")}
    others = {"O365_USER", "O365_CLIENT_SECRET", "GMAIL_SERVICE_ACCOUNT", "AUTH_USERS", "EVENTS_URL", "EVENTS_SECRET"}
    others |= {"ADMIN_PASSWORD", "QUEUE_PASSWORD", "SRS_SECRET"}
    assert {setting.name for setting in SETTINGS if setting.secret} == logins | clients | tokens | others


@pytest.mark.parametrize("setting", SETTINGS, ids=NAMES)
def test_the_default_and_the_example_can_be_read_and_are_shown_as_they_are_read(setting: Setting[object]) -> None:
    for text in (setting.default, setting.example):
        value = setting.value_type.read(text)
        assert setting.value_type.read(setting.value_type.show(value)) == value


@pytest.mark.parametrize("setting", SETTINGS, ids=NAMES)
def test_the_help_is_one_sentence_or_a_few_on_one_line(setting: Setting[object]) -> None:
    assert re.fullmatch(r"[A-Z][^\n|]*\.", setting.help)
