"""Logins at a smarthost: passwords, grants of tokens, certificates, and what is missing of them."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mta.config.logins.smarthost_login import (
    SmarthostLogin,
    gmail_login,
    o365_login,
    own_login,
    ses_login,
)
from mta.config.setting import MASK, SettingsReader
from mta.oauth.grants import ClientCredentials, RefreshToken, ServiceAccount
from mta.routing.route import CertificateCredentials, Credentials, TokenCredentials

GMAIL_TOKEN = {"GMAIL_CLIENT_ID": "hidden-id", "GMAIL_CLIENT_SECRET": "hidden-cs", "GMAIL_REFRESH_TOKEN": "hidden-rt"}
O365 = {"O365_USER": "me@a.test", "O365_TENANT": "a.onmicrosoft.com", "O365_CLIENT_ID": "id"}
OTHER = {"SMARTHOST_USER": "me", "SMARTHOST_TOKEN_URL": "https://login.test/token", "SMARTHOST_CLIENT_ID": "id"}


def read(environ: dict[str, str], certificate: bool = False) -> tuple[SmarthostLogin | None, list[str]]:
    """Return the login that one of these variables is about, and the mistakes without their examples."""
    reader = SettingsReader(environ)
    if any(name.startswith("GMAIL") for name in environ):
        found = gmail_login(reader)
    elif any(name.startswith("O365") for name in environ):
        found = o365_login(reader)
    elif any(name.startswith("SES") for name in environ):
        found = ses_login(reader)
    else:
        found = own_login(reader, certificate=certificate)
    return found, [line.partition("; a correct example")[0] for line in reader.mistakes]


def login(environ: dict[str, str], certificate: bool = False) -> SmarthostLogin:
    found, mistakes = read(environ, certificate)
    assert mistakes == []
    assert found is not None
    return found


def private_key(kind: str = "rsa") -> str:
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.fixture(scope="module")
def rsa_key() -> str:
    return private_key()


def account(key: str, **fields: str) -> str:
    whole = {"type": "service_account", "client_email": "relay@p.test", "private_key": key, "private_key_id": "7"}
    return json.dumps(whole | fields)


def test_without_settings_there_is_no_login() -> None:
    reader = SettingsReader({})
    assert [gmail_login(reader), o365_login(reader), ses_login(reader)] == [None] * 3
    assert own_login(reader, certificate=False) is None
    assert reader.mistakes == []


@pytest.mark.parametrize("prefix", ["GMAIL", "SES", "SMARTHOST"])
def test_a_user_and_a_password_are_a_login(prefix: str) -> None:
    found = login({f"{prefix}_USER": "u", f"{prefix}_PASSWORD": "p"})
    assert found == SmarthostLogin(Credentials("u", "p", prefix), f"{prefix}_USER and {prefix}_PASSWORD")
    assert found.credentials.settings == prefix


def test_gmail_takes_a_refresh_token_in_place_of_a_password() -> None:
    found = login({"GMAIL_USER": "me@gmail.test", **GMAIL_TOKEN})
    assert found.credentials == TokenCredentials("me@gmail.test")
    assert found.credentials.settings == "GMAIL"
    assert found.given == "GMAIL_USER and GMAIL_CLIENT_ID"
    assert isinstance(found.grant, RefreshToken)
    assert found.grant.url == "https://oauth2.googleapis.com/token"
    assert found.grant.refresh_token == "hidden-rt"
    assert "hidden" not in repr(found)


def test_gmail_takes_a_service_account_in_place_of_a_password(rsa_key: str) -> None:
    found = login({"GMAIL_USER": "me@a.test", "GMAIL_SERVICE_ACCOUNT": account(rsa_key)})
    assert isinstance(found.grant, ServiceAccount)
    assert (found.grant.issuer, found.grant.user, found.grant.key_id) == ("relay@p.test", "me@a.test", "7")
    assert "PRIVATE KEY" not in repr(found)


def test_a_mask_in_place_of_the_service_account_is_none_that_is_checked() -> None:
    assert login({"GMAIL_USER": MASK, "GMAIL_SERVICE_ACCOUNT": MASK}).credentials == TokenCredentials(MASK)


@pytest.mark.parametrize(
    "text",
    ["hidden", '["hidden"]', '{"type": "authorized_user", "refresh_token": "hidden"}', '{"type": "service_account"}'],
)
def test_a_text_that_is_not_the_key_of_a_service_account_is_a_mistake_that_does_not_show_it(text: str) -> None:
    found, (line,) = read({"GMAIL_USER": "me@a.test", "GMAIL_SERVICE_ACCOUNT": text})
    assert found is None
    assert line.startswith("GMAIL_SERVICE_ACCOUNT: ")
    assert "hidden" not in line


def test_a_path_in_place_of_a_service_account_names_the_setting_for_files() -> None:
    _, (line,) = read({"GMAIL_USER": "me@a.test", "GMAIL_SERVICE_ACCOUNT": "/run/secrets/key.json"})
    assert line.endswith(": it is a path, not the JSON file itself: set GMAIL_SERVICE_ACCOUNT_FILE")


def test_a_service_account_needs_an_rsa_key() -> None:
    for key in ("hidden", private_key("ec")):
        found, (line,) = read({"GMAIL_USER": "me@a.test", "GMAIL_SERVICE_ACCOUNT": account(key)})
        assert found is None
        assert "key" in line
        assert "hidden" not in line


def test_microsoft_365_takes_a_client_secret_for_the_scope_of_the_application() -> None:
    found = login({**O365, "O365_CLIENT_SECRET": "hidden"})
    assert found.credentials == TokenCredentials("me@a.test")
    assert found.credentials.settings == "O365"
    assert isinstance(found.grant, ClientCredentials)
    assert found.grant.url == "https://login.microsoftonline.com/a.onmicrosoft.com/oauth2/v2.0/token"
    assert found.grant.scope == "https://outlook.office365.com/.default"
    assert "hidden" not in repr(found)


@pytest.mark.parametrize("secret", [{}, {"O365_CLIENT_SECRET": "secret"}])
def test_microsoft_365_takes_a_refresh_token_with_or_without_a_client_secret(secret: dict[str, str]) -> None:
    found = login({**O365, **secret, "O365_REFRESH_TOKEN": "hidden"})
    assert isinstance(found.grant, RefreshToken)
    assert found.grant.scope == "https://outlook.office.com/SMTP.Send offline_access"
    assert found.grant.client_secret == secret.get("O365_CLIENT_SECRET", "")
    assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    ("cloud", "host"), [("usgov", "login.microsoftonline.us"), ("china", "login.partner.microsoftonline.cn")]
)
def test_a_cloud_has_a_login_host_of_its_own(cloud: str, host: str) -> None:
    found = login({**O365, "O365_CLIENT_SECRET": "s", "O365_CLOUD": cloud})
    assert found.grant is not None
    assert found.grant.url.startswith(f"https://{host}/")


def test_any_provider_gives_tokens_for_client_credentials_or_a_refresh_token() -> None:
    found = login({**OTHER, "SMARTHOST_CLIENT_SECRET": "s", "SMARTHOST_TOKEN_SCOPE": "a b"})
    assert found.grant == ClientCredentials("https://login.test/token", "id", "s", "a b")
    assert found.given == "SMARTHOST_USER and SMARTHOST_TOKEN_URL"
    found = login({**OTHER, "SMARTHOST_REFRESH_TOKEN": "t"})
    assert found.grant == RefreshToken("https://login.test/token", "id", "", "t", "")


def test_a_certificate_alone_is_a_login_and_a_password_beside_it_is_preferred() -> None:
    found = login({}, certificate=True)
    assert found.credentials == CertificateCredentials()
    assert found.given == "SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH"
    both = login({"SMARTHOST_USER": "u", "SMARTHOST_PASSWORD": "p"}, certificate=True)
    assert both.credentials == Credentials("u", "p")


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({"GMAIL_USER": "me"}, ["GMAIL_PASSWORD: it is not set although GMAIL_USER is"]),
        (
            {"GMAIL_USER": "me", "GMAIL_CLIENT_ID": "hidden"},
            [
                "GMAIL_CLIENT_SECRET: it is not set although GMAIL_USER is",
                "GMAIL_REFRESH_TOKEN: it is not set although GMAIL_USER is",
            ],
        ),
        (GMAIL_TOKEN, ["GMAIL_USER: it is not set although GMAIL_CLIENT_ID is"]),
        ({"O365_USER": "me"}, ["O365_TENANT=''", "O365_CLIENT_ID=''", "O365_CLIENT_SECRET: neither it nor"]),
        (O365, ["O365_CLIENT_SECRET: neither it nor O365_REFRESH_TOKEN is set although O365_USER is"]),
        ({"O365_CLIENT_SECRET": "hidden"}, ["O365_USER: it is not set", "O365_TENANT=''", "O365_CLIENT_ID=''"]),
        (OTHER, ["SMARTHOST_CLIENT_SECRET: neither it nor SMARTHOST_REFRESH_TOKEN is set although SMARTHOST_USER is"]),
        (
            {"SMARTHOST_TOKEN_URL": "https://a.test/"},
            [
                "SMARTHOST_USER: it is not set although SMARTHOST_TOKEN_URL is",
                "SMARTHOST_CLIENT_ID: it is not set although SMARTHOST_TOKEN_URL is",
                "SMARTHOST_CLIENT_SECRET: neither it nor SMARTHOST_REFRESH_TOKEN is set",
            ],
        ),
        (
            {"SMARTHOST_USER": "me", "SMARTHOST_CLIENT_SECRET": "hidden"},
            ["SMARTHOST_TOKEN_URL='': it is not set although", "SMARTHOST_CLIENT_ID: it is not set although"],
        ),
    ],
)
def test_a_part_of_a_login_is_a_mistake_that_names_each_missing_part(
    environ: dict[str, str], missing: list[str]
) -> None:
    found, mistakes = read(environ)
    assert found is None
    assert len(mistakes) == len(missing)
    assert all(line.startswith(words) for line, words in zip(mistakes, missing, strict=True))
    assert "hidden" not in str(mistakes)


@pytest.mark.parametrize(
    ("environ", "first", "second"),
    [
        ({"GMAIL_USER": "me", "GMAIL_PASSWORD": "hidden", **GMAIL_TOKEN}, "GMAIL_PASSWORD", "GMAIL_CLIENT_ID"),
        (
            {"GMAIL_USER": "me", "GMAIL_PASSWORD": "hidden", "GMAIL_SERVICE_ACCOUNT": "hidden"},
            "GMAIL_PASSWORD",
            "GMAIL_SERVICE_ACCOUNT",
        ),
        (
            {"GMAIL_USER": "me", "GMAIL_REFRESH_TOKEN": "hidden", "GMAIL_SERVICE_ACCOUNT": "hidden"},
            "GMAIL_REFRESH_TOKEN",
            "GMAIL_SERVICE_ACCOUNT",
        ),
        ({**OTHER, "SMARTHOST_PASSWORD": "hidden"}, "SMARTHOST_PASSWORD", "SMARTHOST_TOKEN_URL='https://login.test/t"),
    ],
)
def test_two_ways_to_log_in_are_a_mistake(environ: dict[str, str], first: str, second: str) -> None:
    found, (line,) = read(environ)
    assert found is None
    assert line.startswith(second)
    assert line.endswith(f": {first} is set, too, which is another way to log in: keep one of the two")
    assert "hidden" not in line


def test_a_file_that_is_missing_or_empty_is_one_mistake(tmp_path: Path) -> None:
    token = tmp_path / "token"
    environ = {**O365, "O365_REFRESH_TOKEN_FILE": str(token)}
    _, (line,) = read(environ)
    assert line.startswith("O365_REFRESH_TOKEN_FILE=")
    token.write_text("\n")
    _, (line,) = read(environ)
    assert line.startswith("O365_CLIENT_SECRET: neither it nor O365_REFRESH_TOKEN is set")
    token.write_text("hidden\n")
    assert isinstance(login(environ).grant, RefreshToken)


def test_a_user_that_a_token_login_cannot_carry_is_a_mistake() -> None:
    _, (line,) = read({**OTHER, "SMARTHOST_CLIENT_SECRET": "s", "SMARTHOST_USER": "me\x01auth=x"})
    assert line == "SMARTHOST_USER: it has characters that a login cannot transmit"
