"""The forms of grants, their digests, and the assertion of a service account."""

import json
import pickle
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from harness.token_endpoint import verified_claims
from mta.oauth.grants import ClientCredentials, RefreshToken, ServiceAccount, load_rsa_key, secrets_of

URL = "https://login.example.test/token"
OWN = ClientCredentials(URL, "hush-id", "hush-secret", "all")
USERS = RefreshToken(URL, "hush-id", "", "hush-refresh", "send")
KEY = rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


ACCOUNT = ServiceAccount(URL, "relay@project.test", "boss@example.test", pem(KEY), "key-1", "https://mail.test/")


def test_the_form_of_client_credentials():
    assert OWN.form(0) == {
        "grant_type": "client_credentials",
        "client_id": "hush-id",
        "client_secret": "hush-secret",
        "scope": "all",
    }


def test_the_form_of_a_refresh_token_has_a_secret_only_if_there_is_one():
    form = {"grant_type": "refresh_token", "client_id": "hush-id", "refresh_token": "hush-refresh", "scope": "send"}
    assert USERS.form(0) == form
    assert replace(USERS, client_secret="s3").form(0) == form | {"client_secret": "s3"}
    assert "scope" not in replace(USERS, scope="").form(0)


def test_a_rotated_token_is_sent_in_place_of_the_configured_one():
    assert USERS.rotated("newer").form(0)["refresh_token"] == "newer"


def test_an_assertion_is_verified_with_the_public_key_and_says_all_that_google_asks_for(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
    assertion = ACCOUNT.form(1_800_000_000.5)["assertion"]
    assert ACCOUNT.form(0)["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert verified_claims(assertion, {"relay@project.test": KEY.public_key()}, URL) == {
        "iss": "relay@project.test",
        "sub": "boss@example.test",
        "scope": "https://mail.test/",
        "aud": URL,
        "iat": 1_800_000_000,
        "exp": 1_800_003_600,
    }


def test_an_assertion_of_another_key_is_not_verified():
    other = {"relay@project.test": rsa.generate_private_key(65537, 2048).public_key()}
    with pytest.raises(Exception, match="Invalid JWT Signature"):
        verified_claims(ACCOUNT.assertion(0), other, URL)


@pytest.mark.parametrize("text", ["", "nonsense hush", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_key_that_cannot_sign_is_refused_without_showing_it(text):
    with pytest.raises(ValueError, match=r"^the private key is not an") as caught:
        load_rsa_key(text)
    assert "hush" not in str(caught.value)


def test_a_new_client_secret_keeps_the_lineage_but_not_the_digest():
    renewed = replace(USERS, client_secret="another")
    assert renewed.lineage == USERS.lineage
    assert renewed.digest != USERS.digest


@pytest.mark.parametrize("change", [{"refresh_token": "x"}, {"client_id": "x"}, {"url": "https://x.test/"}])
def test_another_token_client_or_endpoint_begins_another_lineage(change):
    assert replace(USERS, **change).lineage != USERS.lineage


@pytest.mark.parametrize("grant", [OWN, USERS, ACCOUNT], ids=["own", "refresh", "account"])
def test_a_grant_shows_no_secret_and_can_be_handed_to_workers(grant):
    for text in (repr(grant), str(grant)):
        assert "hush" not in text
        assert "PRIVATE" not in text
    assert pickle.loads(pickle.dumps(grant)) == grant
    assert "hush" not in json.dumps([grant.digest, grant.lineage])
    assert len(grant.digest) == 64


def test_all_values_of_a_form_but_its_kind_and_scope_are_secrets():
    assert set(secrets_of(OWN.form(0))) == {"hush-id", "hush-secret"}
    assert set(secrets_of(USERS.form(0))) == {"hush-id", "hush-refresh"}
    assert len(secrets_of(ACCOUNT.form(0))) == 1
