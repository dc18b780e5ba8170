"""The URLs and scopes of providers, and the JSON file of a service account."""

import json

import pytest

from mta.oauth.grants import ClientCredentials, Provider, RefreshToken
from mta.oauth.providers import (
    CLOUDS,
    GOOGLE_SCOPE,
    GOOGLE_TOKEN_URL,
    Cloud,
    google_refresh_token,
    google_service_account,
    microsoft_credentials,
    microsoft_refresh_token,
    other_grant,
)
from tests.oauth.test_grants import KEY, pem

ACCOUNT = {
    "type": "service_account",
    "client_email": "relay@project.test",
    "private_key": pem(KEY),
    "private_key_id": "key-1",
    "token_uri": "https://oauth2.googleapis.com/token",
}


@pytest.mark.parametrize(
    ("cloud", "url", "own", "user"),
    [
        (
            Cloud.PUBLIC,
            "https://login.microsoftonline.com/t.example/oauth2/v2.0/token",
            "https://outlook.office365.com/.default",
            "https://outlook.office.com/SMTP.Send offline_access",
        ),
        (
            Cloud.USGOV,
            "https://login.microsoftonline.us/t.example/oauth2/v2.0/token",
            "https://outlook.office365.us/.default",
            "https://outlook.office365.us/SMTP.Send offline_access",
        ),
        (
            Cloud.CHINA,
            "https://login.partner.microsoftonline.cn/t.example/oauth2/v2.0/token",
            "https://partner.outlook.cn/.default",
            "https://partner.outlook.cn/SMTP.Send offline_access",
        ),
    ],
)
def test_each_cloud_of_microsoft_has_its_own_hosts_and_scopes(cloud, url, own, user):
    credentials = microsoft_credentials(cloud, "t.example", "id", "secret")
    assert credentials == ClientCredentials(url, "id", "secret", own, Provider.MICROSOFT)
    delegated = microsoft_refresh_token(cloud, "t.example", "id", "", "token")
    assert delegated == RefreshToken(url, "id", "", "token", user, Provider.MICROSOFT)
    assert CLOUDS[cloud].device_url("t.example") == url.removesuffix("token") + "devicecode"


@pytest.mark.parametrize("tenant", ["", "a b", "a/../b", "x?y", "-", "a" * 300, "t\n"])
def test_a_tenant_cannot_change_the_rest_of_the_url(tenant):
    with pytest.raises(ValueError, match="the tenant is neither an id"):
        microsoft_credentials(Cloud.PUBLIC, tenant, "id", "secret")


def test_google_has_one_endpoint():
    grant = google_refresh_token("id", "secret", "token")
    assert (grant.url, grant.scope, grant.provider) == (GOOGLE_TOKEN_URL, "", Provider.GOOGLE)


def test_a_service_account_comes_from_its_json_file():
    grant = google_service_account(json.dumps(ACCOUNT), "boss@example.test")
    assert (grant.url, grant.issuer, grant.user) == (GOOGLE_TOKEN_URL, "relay@project.test", "boss@example.test")
    assert (grant.key, grant.key_id, grant.scope) == (pem(KEY), "key-1", GOOGLE_SCOPE)


@pytest.mark.parametrize("missing", ["token_uri", "private_key_id"])
def test_some_fields_of_the_file_may_be_missing(missing):
    fields = {name: text for name, text in ACCOUNT.items() if name != missing}
    assert google_service_account(json.dumps(fields), "boss@example.test").url == GOOGLE_TOKEN_URL


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "authorized_user"}, "it is not the JSON file of a service account's key"),
        ({"client_email": ""}, 'has no "client_email"'),
        ({"private_key": 5}, 'has no "private_key"'),
        ({"private_key": "hush"}, "the private key is not an unencrypted key as PEM"),
        ({"token_uri": "http://hush.test/"}, '"token_uri" of the JSON file is not an https URL'),
        ({"token_uri": ["hush"]}, '"token_uri" of the JSON file is not an https URL'),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_shows_nothing_of_it(change, words):
    with pytest.raises(ValueError, match=words) as caught:
        google_service_account(json.dumps(ACCOUNT | change), "boss@example.test")
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "hush", "[]", "[" * 100_000, '"x"', " " * 70_000])
def test_text_that_is_no_json_object_is_refused(text):
    with pytest.raises(ValueError, match="it is not the JSON file"):
        google_service_account(text, "boss@example.test")


def test_another_provider_has_client_credentials_unless_there_is_a_refresh_token():
    url = "https://sso.example.test/token"
    assert other_grant(url, "id", "secret", scope="s") == ClientCredentials(url, "id", "secret", "s")
    assert other_grant(url, "id", "", "token") == RefreshToken(url, "id", "", "token")
    with pytest.raises(ValueError, match="does not begin with https://"):
        other_grant("http://sso.example.test/token", "id", "secret")
