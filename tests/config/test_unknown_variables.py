"""Notices about variables, values and mounted files without the effect that an operator expects."""

from pathlib import Path

import pytest

from mta.config.setting import SettingsReader
from mta.config.unknown_variables import (
    is_negative,
    notice_exim,
    notice_quotes,
    notice_split_config,
    notice_unknown_variables,
)


def notices(**environ: str) -> list[str]:
    reader = SettingsReader(environ)
    notice_unknown_variables(reader)
    return reader.notices


def exim(root: Path, **environ: str) -> list[str]:
    reader = SettingsReader(environ)
    notice_exim(reader, root)
    return reader.notices


def test_a_file_variable_of_a_setting_that_is_no_secret_is_reported() -> None:
    assert notices(MAILNAME_FILE="/run/secrets/name", PORT_FILE="") == [
        "MAILNAME_FILE has no effect: only secrets are read from files; set MAILNAME itself"
    ]


def test_settings_whose_names_end_in_file_are_known() -> None:
    assert notices(SMARTHOST_CA_FILE="/ca", ALIASES_FILE="/a", MACROS_FILE="/m", GMAIL_PASSWORD_FILE="/p") == []


def test_a_name_close_to_a_setting_is_reported() -> None:
    assert notices(DKIM_SELECTER="x") == ["DKIM_SELECTER is not a setting of smtprelay; did you mean DKIM_SELECTOR?"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTHER_HOSTNAME", "OTHER_HOSTNAMES"),
        ("MAIL_NAME", "MAILNAME"),
        ("MAILNAMES", "MAILNAME"),
        ("CERT_PATH", "CERTIFICATE_PATH"),
        ("QUEUEDIR", "QUEUE_DIR"),
        ("QUEUE_DIRECTORY", "QUEUE_DIR"),
        ("NET_DEVICE", "NET_DEV"),
        ("SMTP_PORT_OUT", "SMTPPORTOUT"),
        ("BINDIP6", "BIND_IP6"),
        ("SMART_HOST_PORT", "SMARTHOST_PORT"),
        ("LINE_LENGHT_LIMIT", "LINE_LENGTH_LIMIT"),
        ("SUBMISION_PORT", "SUBMISSION_PORT"),
        ("PROXY_NETWORK", "PROXY_NETWORKS"),
        ("AUTH_USER_FILE", "AUTH_USERS_FILE"),
        ("SMTPD_SASL_USERS", "AUTH_USERS"),
        ("RELAYHOST_TLS_LEVEL", "SMARTHOST_TLS"),
        ("PERMIT_DOCKER", "RELAY_NETWORKS"),
        ("OVERRIDE_HOSTNAME", "MAILNAME"),
    ],
)
def test_a_name_without_a_known_prefix_is_reported_if_it_is_very_close(name: str, meant: str) -> None:
    assert notices(**{name: "x"}) == [f"{name} is not a setting of smtprelay; did you mean {meant}?"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SMARTHOST_PASWORD", "SMARTHOST_PASSWORD"),
        ("SMARTHOST_PASSWROD", "SMARTHOST_PASSWORD"),
        ("SMARTHOST_PASS", "SMARTHOST_PASSWORD"),
        ("SMARTHOST_USERNAME", "SMARTHOST_USER"),
        ("SMARTHOST_PASWORD_FILE", "SMARTHOST_PASSWORD_FILE"),
        ("SMARTHOST_ADRESS", "SMARTHOST_ADDRESS"),
        ("SMART_HOST_ADDRESS", "SMARTHOST_ADDRESS"),
        ("SMARTHOST_ADDRESS_FILE", "SMARTHOST_ADDRESS"),
        ("SMARTHOST", "SMARTHOST_ADDRESS"),
        ("SMARTHOST_HOST", "SMARTHOST_ADDRESS"),
        ("RELAYHOST", "SMARTHOST_ADDRESS"),
        ("RELAY_HOST", "SMARTHOST_ADDRESS"),
        ("smarthost_address", "SMARTHOST_ADDRESS"),
        ("Smarthost_Password", "SMARTHOST_PASSWORD"),
        ("GMAIL_USERNAME", "GMAIL_USER"),
        ("SES_PASWORD", "SES_PASSWORD"),
        ("SES_PASSW", "SES_PASSWORD"),
        ("SMART_PASSWORD", "SMARTHOST_PASSWORD"),
        ("RELAYHOST_USERNAME", "SMARTHOST_USER"),
        ("RELAYHOST_PASSWORD_FILE", "SMARTHOST_PASSWORD_FILE"),
        ("RELAY_USER", "SMARTHOST_USER"),
        ("RELAY_PASSWORD", "SMARTHOST_PASSWORD"),
        ("DEFAULT_RELAY_HOST", "SMARTHOST_ADDRESS"),
        ("SASL_PASSWD", "SMARTHOST_PASSWORD"),
        ("XOAUTH2_CLIENT_ID", "SMARTHOST_CLIENT_ID"),
        ("XOAUTH2_SECRET", "SMARTHOST_CLIENT_SECRET"),
        ("XOAUTH2_INITIAL_REFRESH_TOKEN", "SMARTHOST_REFRESH_TOKEN"),
        ("XOAUTH2_TOKEN_ENDPOINT", "SMARTHOST_TOKEN_URL"),
        ("O365_TENANT_ID", "O365_TENANT"),
        ("O365_CLIENT_SECERT", "O365_CLIENT_SECRET"),
        ("GMAIL_REFRESH_TOKN", "GMAIL_REFRESH_TOKEN"),
    ],
)
def test_a_misspelled_host_or_login_is_a_mistake_unless_the_right_name_is_set(name: str, meant: str) -> None:
    reader = SettingsReader({name: "hidden"})
    notice_unknown_variables(reader)
    (line,) = reader.mistakes
    assert f"{name} is, which is not a setting: rename that to {meant}" in line
    assert "hidden" not in line
    assert reader.notices == []
    assert len(notices(**{name: "hidden", meant.removesuffix("_FILE"): "x"})) == 1


def test_a_variable_of_another_program_is_no_misspelled_login() -> None:
    reader = SettingsReader(dict.fromkeys(("SES_FROM", "SES_ACCESS_KEY", "GMAIL_API_TOKEN", "SMARTHOST_TIMEOUT"), "x"))
    notice_unknown_variables(reader)
    assert reader.mistakes == []
    assert len(reader.notices) == 4


def test_a_name_in_lower_case_is_reported() -> None:
    assert notices(relay_networks="10.0.0.0/8") == [
        "relay_networks is not a setting of smtprelay; did you mean RELAY_NETWORKS?"
    ]


def test_a_secret_of_several_lines_is_reported_without_its_value() -> None:
    reader = SettingsReader({"SMARTHOST_PASSWORD": "hidden\nother\n", "GMAIL_PASSWORD": "one\n"})
    notice_quotes(reader)
    assert reader.notices == ["SMARTHOST_PASSWORD has more than one line, and all of them count; a login has one"]


@pytest.mark.parametrize(
    "names",
    [
        "PATH HOME HOSTNAME HOST LANG LANGUAGE LC_ALL TZ SHELL USER USERNAME LOGNAME PWD OLDPWD TERM SHLVL",
        "EDITOR PAGER",
        "MAIL MAILDIR MAILPATH MAILCHECK MAILTO EMAIL DISPLAY TMPDIR TEMP_DIR LS_COLORS LINES COLUMNS PS1 IFS",
        "UID GID _",
        "PYTHONPATH PYTHON_VERSION PYTHONUNBUFFERED VIRTUAL_ENV PIP_CACHE_DIR GPG_KEY LD_LIBRARY_PATH",
        "LD_PRELOAD MANPATH",
        "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GOPATH JAVA_HOME NODE_ENV HTTP_PROXY",
        "NO_PROXY no_proxy",
        "INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_FDS",
        "CREDENTIALS_DIRECTORY MAINPID",
        "STATE_DIRECTORY RUNTIME_DIRECTORY LOGS_DIRECTORY CACHE_DIRECTORY SYSTEMD_EXEC_PID",
        "MEMORY_PRESSURE_WATCH",
        "XDG_RUNTIME_DIR XDG_SESSION_ID DBUS_SESSION_BUS_ADDRESS SSH_CLIENT SSH_AUTH_SOCK SUDO_USER SUDO_UID",
        "DEBIAN_FRONTEND",
        "KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_SERVICE_PORT_HTTPS",
        "KUBERNETES_PORT_443_TCP_ADDR",
        "MAIL_PORT MAIL_PORT_25_TCP MAIL_PORT_25_TCP_PROTO SMTP_PORT SMTP_PORT_25_TCP_ADDR SMTP_SERVICE_HOST",
        "SMTP_SERVICE_PORT",
        "SES2_PORT SES2_PORT_25_TCP SMARTHOSTS_PORT SMARTHOSTS_PORT_25_TCP WEB_PORT PORT0 PORT1 PORTS",
        "MAILHOG_PORT_1025_TCP",
        "SMTP_HOST SMTP_USER SMTP_PASSWORD MAIL_HOST MAIL_USER MAIL_FROM MAILER_DSN POSTFIX_myhostname",
        "NAMESPACE POD_NAME POD_IP",
        "LOG_LEVEL LOG_FILE DEBUG WEB_CONCURRENCY NUM_WORKERS DB_PATH DATA_DIR CONFIG_FILE TLS_KEY_FILE",
        "DNS_SERVICE_HOST",
    ],
)
def test_variables_of_other_programs_are_not_reported(names: str) -> None:
    assert notices(**dict.fromkeys(names.split(), "x")) == []


def quotes(**environ: str) -> list[str]:
    reader = SettingsReader(environ)
    notice_quotes(reader)
    return reader.notices


def test_quotation_marks_around_whole_values_are_one_notice_that_shows_no_value(tmp_path: Path) -> None:
    file = tmp_path / "user"
    file.write_text("'hidden'\n")
    (notice,) = quotes(SMARTHOST_PASSWORD='"hidden"', SMARTHOST_USER_FILE=str(file), QUEUE_DIR='"/var/spool"')
    assert notice.startswith(
        "SMARTHOST_USER, SMARTHOST_PASSWORD, QUEUE_DIR: the quotation marks around the value count"
    )
    assert "hidden" not in notice


@pytest.mark.parametrize("text", ['a"b', '"a', "'a\"", '"', "a", ""])
def test_a_quotation_mark_elsewhere_is_not_reported(text: str) -> None:
    assert quotes(SMARTHOST_PASSWORD=text) == []


@pytest.mark.parametrize("text", ['""', "''", "\u201c\u201d"])
def test_quotation_marks_around_an_empty_value_are_reported_too(text: str) -> None:
    assert len(quotes(SMARTHOST_PASSWORD=text)) == 1


def test_a_secret_with_a_leading_blank_is_reported() -> None:
    assert quotes(SMARTHOST_PASSWORD=" x", PORT=" 25") == [
        "SMARTHOST_PASSWORD begins with a blank, which counts as part of it"
    ]


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes"])
def test_split_config_is_reported_to_have_no_effect(text: str) -> None:
    reader = SettingsReader({"USE_SPLIT_CONFIG": text})
    notice_split_config(reader)
    assert reader.notices == [
        "USE_SPLIT_CONFIG has no effect: Exim's files cannot be run; rules of your own stand in RULES_DIR"
    ]


@pytest.mark.parametrize("text", ["", "false", "0", "No"])
def test_split_config_that_is_off_is_not_reported(text: str) -> None:
    reader = SettingsReader({"USE_SPLIT_CONFIG": text})
    notice_split_config(reader)
    assert reader.notices == []
    assert is_negative(text) is bool(text)


def test_mounted_files_of_exim_are_reported_unless_exim_is_installed(tmp_path: Path) -> None:
    (tmp_path / "etc/exim4/conf.d").mkdir(parents=True)
    (tmp_path / "etc/email-addresses").touch()
    assert exim(tmp_path) == [
        "/etc/email-addresses is there but is not read: smtprelay config import makes rules of it",
        "/etc/exim4/conf.d is there but is not read: Exim's files are not run",
    ]
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/exim4").touch()
    assert exim(tmp_path) == []


def test_a_mounted_file_that_cannot_be_accessed_is_not_reported() -> None:
    assert exim(Path("/" + "x" * 300)) == []
