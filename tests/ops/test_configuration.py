import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.setting import SettingsError
from mta.config.table import SETTINGS
from mta.ops.configuration import markdown_table, queue_directory, show_settings

README = Path(__file__).parents[2] / "README.md"
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
    assert [notice.partition(" ")[0] for notice in notices] == ["NET_DEV=none0"]


def test_a_setting_is_shown_as_it_was_understood() -> None:
    assert shown(RELAY_NETWORKS=":10.1.2.3/8:fd00::/8")["RELAY_NETWORKS"] == "10.0.0.0/8 ; fd00::/8"
    assert shown(MAILNAME="MAIL.Test")["MAILNAME"] == "mail.test"
    assert shown(PORT="")["PORT"] == "25"


def test_the_consequences_are_shown() -> None:
    direct = shown(RELAY_NETWORKS=":!10.0.0.5:10.0.0.0/8", OTHER_HOSTNAMES="a.test", SMTPPORTOUT="2525")
    assert direct["trusted clients"] == "127.0.0.1 ; ::1 ; !10.0.0.5 ; 10.0.0.0/8"
    assert direct["local domains"] == "localhost : a.test"
    assert direct["other mail goes to"] == "the MX hosts of its domain, port 2525"


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"SMARTHOST_ADDRESS": "a.test:b.test"}, "a.test::25 : b.test::25, TLS: opportunistic, without a login"),
        (
            {"GMAIL_USER": "me", "GMAIL_PASSWORD": "hunter2"},
            "smtp.gmail.com::587, TLS: verify, with a login for *.gmail.com",
        ),
        (
            {"SMARTHOST_ADDRESS": "a.test", "SMARTHOST_USER": "me", "SMARTHOST_PASSWORD": "hunter2"},
            "a.test::25, TLS: verify, with a login for each of them",
        ),
    ],
)
def test_the_smarthost_is_shown_without_its_password(environ: dict[str, str], text: str) -> None:
    assert shown(**environ)["other mail goes to"] == text


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
    assert "hunter2" not in str(show_settings(environ))


def test_the_queue_directory_is_found_whatever_else_is_wrong() -> None:
    assert queue_directory({"QUEUE_DIR": "/q", "PORT": "x"}) == Path("/q")
    assert queue_directory({}) == Path("/var/spool/smtprelay")
    with pytest.raises(SettingsError, match="QUEUE_DIR"):
        queue_directory({"QUEUE_DIR": "\0"})


def test_the_table_has_a_row_for_every_setting() -> None:
    rows = markdown_table().splitlines()[2:]
    assert len(rows) == len(SETTINGS)
    assert rows[0] == "| `PORT` | `25` | The port we listen on. |"
    assert any(row.startswith("| `SES_USER`, `SES_USER_FILE` | none | ") for row in rows)
    assert all(row.count("|") == 4 for row in rows)


def test_the_readme_has_the_table_as_it_is() -> None:
    between = README.read_text().partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert between == markdown_table(), "put what `smtprelay config table` prints between the marks"
