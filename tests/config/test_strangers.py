from pathlib import Path

import pytest

from mta.config.setting import Reading
from mta.config.strangers import is_negative, notice_exim, notice_strangers


def strangers(**environ: str) -> list[str]:
    reading = Reading(environ)
    notice_strangers(reading)
    return reading.notices


def exim(root: Path, **environ: str) -> list[str]:
    reading = Reading(environ)
    notice_exim(reading, root)
    return reading.notices


def test_a_file_for_a_setting_that_is_no_secret_is_told() -> None:
    assert strangers(MAILNAME_FILE="/run/secrets/name", PORT_FILE="") == [
        "MAILNAME_FILE has no effect: only secrets are read from files; set MAILNAME itself"
    ]


def test_settings_that_end_like_a_secrets_file_are_ours() -> None:
    assert strangers(SMARTHOST_CA_FILE="/ca", ALIASES_FILE="/a", MACROS_FILE="/m", GMAIL_PASSWORD_FILE="/p") == []


def test_a_name_almost_like_ours_is_told() -> None:
    assert strangers(DKIM_SELECTER="x") == ["DKIM_SELECTER is not a setting of ours; did you mean DKIM_SELECTOR?"]


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes"])
def test_split_config_is_told_to_be_impossible(text: str) -> None:
    assert exim(Path("/nowhere"), USE_SPLIT_CONFIG=text) == [
        "USE_SPLIT_CONFIG has no effect: Exim's files cannot be run; all other settings hold"
    ]


@pytest.mark.parametrize("text", ["", "false", "0", "No"])
def test_no_split_config_is_nothing_to_tell(text: str) -> None:
    assert exim(Path("/nowhere"), USE_SPLIT_CONFIG=text) == []
    assert is_negative(text) is bool(text)


def test_mounted_files_of_exim_are_told_unless_exim_lives_here(tmp_path: Path) -> None:
    (tmp_path / "etc/exim4/conf.d").mkdir(parents=True)
    (tmp_path / "etc/email-addresses").touch()
    assert exim(tmp_path) == [
        "/etc/email-addresses is there but is not read: addresses are not rewritten",
        "/etc/exim4/conf.d is there but is not read: Exim's files are not run",
    ]
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/exim4").touch()
    assert exim(tmp_path) == []


def test_what_cannot_be_looked_at_is_nothing_to_tell() -> None:
    assert exim(Path("/" + "x" * 300)) == []
