"""The operator's page: its address, its password, and the notices and mistakes about them."""

import pytest

from harness.certificates import authority
from mta.config.readers.admin import AdminSettings
from mta.config.summary import startup_summary
from tests.config.readers.reading import mistake, read

PASSWORD = "the-password"  # noqa: S105
LEAF = authority().leaf(["page.test"])


def notices(**environ: str) -> str:
    return "\n".join(read(**environ).notices)


def test_the_page_is_off_by_default():
    assert read().admin is None


@pytest.mark.parametrize("listen", ["127.0.0.1:8025", "127.9.9.9:8025", "[::1]:8025"])
def test_a_loopback_address_needs_no_password_and_no_https(listen):
    settings = read(ADMIN_LISTEN=listen)
    assert settings.admin is not None
    assert not settings.admin.password
    assert "ADMIN" not in "\n".join(settings.notices)


@pytest.mark.parametrize("listen", [":8025", "0.0.0.0:8025", "10.1.2.3:8025", "[::]:8025", "[2001:db8::1]:8025"])
def test_an_address_that_other_hosts_reach_needs_a_password(listen):
    text = mistake(ADMIN_LISTEN=listen)
    assert "other hosts can reach this address and ADMIN_PASSWORD is not set" in text
    assert "ADMIN_LISTEN=127.0.0.1:8025" in text
    admin = read(ADMIN_LISTEN=listen, ADMIN_PASSWORD=PASSWORD).admin
    assert admin is not None
    assert admin.password == PASSWORD


def test_an_empty_file_of_the_password_is_no_password(tmp_path):
    file = tmp_path / "password"
    file.write_text("\n")
    text = mistake(ADMIN_LISTEN=":8025", ADMIN_PASSWORD_FILE=str(file))
    assert "the file that ADMIN_PASSWORD_FILE names is empty" in text


def test_a_password_from_a_file_is_never_shown(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    settings = read(ADMIN_LISTEN=":8025", ADMIN_PASSWORD_FILE=str(file))
    assert settings.admin == AdminSettings("", 8025, PASSWORD, None)
    assert PASSWORD not in repr(settings) + "".join(map(str, settings.effective)) + "".join(startup_summary(settings))
    assert "page: http://*:8025/, with a password" in startup_summary(settings)


def test_plain_http_beyond_loopback_is_a_notice():
    text = notices(ADMIN_LISTEN=":8025", ADMIN_PASSWORD=PASSWORD)
    assert "ADMIN_LISTEN=:8025 is plain HTTP" in text


def test_https_needs_a_certificate_and_its_key(tmp_path):
    certificate, key = LEAF.write(tmp_path)
    given = {"ADMIN_LISTEN": ":8025", "ADMIN_PASSWORD": PASSWORD, "ADMIN_CERTIFICATE_PATH": str(certificate)}
    assert "ADMIN_KEY_PATH='': it is not set although ADMIN_CERTIFICATE_PATH is" in mistake(**given)
    assert "there is no such file" in mistake(**given, ADMIN_KEY_PATH=str(tmp_path / "missing.key"))
    settings = read(**given, ADMIN_KEY_PATH=str(key))
    assert settings.admin is not None
    assert settings.admin.certificate == (certificate, key)
    assert settings.admin.url == "https://*:8025/"
    assert "plain HTTP" not in "\n".join(settings.notices)


@pytest.mark.parametrize("name", ["ADMIN_PASSWORD", "ADMIN_CERTIFICATE_PATH", "ADMIN_KEY_PATH"])
def test_the_other_settings_have_no_effect_without_an_address(name):
    assert f"{name} has no effect: ADMIN_LISTEN is not set" in notices(**{name: "/x"})


@pytest.mark.parametrize("listen", ["8025", "localhost:8025", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "::1:80x"])
def test_an_address_must_be_an_address_and_a_port(listen):
    assert "ADMIN_LISTEN" in mistake(ADMIN_LISTEN=listen)
