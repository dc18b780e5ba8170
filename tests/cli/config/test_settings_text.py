"""The text of `smtprelay config`."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.cli.config.command import check_settings, explain_settings, show_settings
from mta.config.setting import SettingsError
from mta.config.table import SETTINGS

BASE = {"NET_DEV": "none0", "MAILNAME": "mail.test"}


def shown(**environ: str) -> dict[str, str]:
    lines, _ = show_settings(BASE | environ)
    pairs = (line.partition(" =") for line in lines)
    return {name: text.strip() for name, _, text in pairs}


def test_every_setting_is_shown_with_its_default() -> None:
    lines, notices = show_settings(BASE)
    assert [line.partition(" ")[0] for line in lines[: len(SETTINGS)]] == [setting.name for setting in SETTINGS]
    assert lines[0] == "PORT = 25"
    assert "RETRY_SCHEDULE = F,2h,15m; G,16h,1h,1.5; F,4d,6h" in lines
    assert "GMAIL_PASSWORD =" in lines
    assert len(lines) == len(SETTINGS)
    assert [notice.partition(" ")[0] for notice in notices] == ["NET_DEV=none0"]


def test_a_setting_is_shown_as_it_was_understood() -> None:
    assert shown(RELAY_NETWORKS=":10.1.2.3/8:fd00::/8")["RELAY_NETWORKS"] == "10.0.0.0/8 ; fd00::/8"
    assert shown(MAILNAME="MAIL.Test")["MAILNAME"] == "mail.test"
    assert shown(PORT="")["PORT"] == "25"


def test_the_replacement_of_an_empty_default_is_shown() -> None:
    assert shown(SMARTHOST_ADDRESS="a.test")["SMARTHOST_TLS"] == "opportunistic"
    assert shown(GMAIL_USER="a", GMAIL_PASSWORD="b")["SMARTHOST_TLS"] == "verify"
    assert show_settings({"NET_DEV": "none0"})[0][4].partition(" = ")[2]


def test_a_check_reports_the_same_as_a_start() -> None:
    lines, notices = check_settings(BASE | {"SES_PORT": "465"})
    assert lines[0] == "name: mail.test"
    assert "SES_PORT has no effect: SES_USER and SES_PASSWORD are not both set" in notices
    with pytest.raises(SettingsError, match="PORT") as refused:
        check_settings({"PORT": "x", "LOG_FORMAT": "y"})
    assert len(refused.value.mistakes) == 2


def explained(*names: str, **environ: str) -> list[str]:
    return list(explain_settings(BASE | environ, names))


def test_a_setting_is_explained_with_its_value_its_origin_and_its_help() -> None:
    assert explained("PORT", PORT="26")[:3] == [
        "PORT = 26",
        "    from the environment; the default is `25`",
        "    The port to listen on.",
    ]
    assert explained("PORT")[:2] == ["PORT = 25", "    not set; the default is `25`"]
    assert explained("PORT")[-1] == "    example: PORT=2525"


def test_the_macros_file_is_an_origin(tmp_path: Path) -> None:
    (tmp_path / "macros").write_text("MESSAGE_SIZE_LIMIT = 1K")
    macros = str(tmp_path / "macros")
    limit = explained("MESSAGE_SIZE_LIMIT", MACROS_FILE=macros)
    assert limit[:2] == ["MESSAGE_SIZE_LIMIT = 1K", "    from the macros in MACROS_FILE; the default is `50M`"]
    assert explained("MESSAGE_SIZE_LIMIT", MACROS_FILE=macros, MESSAGE_SIZE_LIMIT="2K")[0].endswith("= 2K")


def test_a_secret_is_explained_without_its_value_by_either_name(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("hunter2")
    lines = explained("gmail_user_file", GMAIL_USER_FILE=str(tmp_path / "user"), GMAIL_PASSWORD="p")
    assert lines[:2] == ["GMAIL_USER = ****", "    from the file that GMAIL_USER_FILE names; the default is none"]


def test_all_settings_are_explained_with_a_blank_line_between() -> None:
    lines = explained()
    assert lines.count("") == len(SETTINGS) - 1
    assert [line.partition(" ")[0] for line in lines if line[:1].isalpha()] == [setting.name for setting in SETTINGS]
    assert all(len(line) <= 110 for line in lines)


def test_an_unknown_setting_is_reported_with_a_close_one() -> None:
    with pytest.raises(KeyError) as refused:
        explained("SMARTHOST_PASWORD")
    assert refused.value.args == ("SMARTHOST_PASWORD is not a setting; did you mean SMARTHOST_PASSWORD?",)
    with pytest.raises(KeyError):
        explained("PORT_FILE")


def test_a_secret_is_masked() -> None:
    found = shown(GMAIL_USER="someone", GMAIL_PASSWORD="hunter2")
    assert (found["GMAIL_USER"], found["GMAIL_PASSWORD"]) == ("****", "****")
    assert not {"someone", "hunter2"} & set(re.split(r"\W+", str(found)))


SECRETS = [setting.name for setting in SETTINGS if setting.secret]


@given(st.sets(st.sampled_from(SECRETS), min_size=1), st.booleans())
@settings(max_examples=50)
def test_no_secret_is_ever_shown(names: set[str], smarthost: bool) -> None:
    environ = BASE | {name: f"hunter2-{name}" for name in names}
    if smarthost:
        environ["SMARTHOST_ADDRESS"] = "a.test"
    for ask in (show_settings, check_settings, lambda environ: list(explain_settings(environ))):
        try:
            words = str(ask(environ))
        except SettingsError as error:
            words = str(error)
        assert "hunter2" not in words
