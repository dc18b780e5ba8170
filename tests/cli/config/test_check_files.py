"""The check of certificate, DKIM keys and aliases by `smtprelay config check`."""

import time
from pathlib import Path

import pytest

from harness.certificates import authority
from mta.cli.config.command import check_files
from mta.config.setting import SettingsError
from mta.config.settings import Settings, read_settings
from mta.dkim.keys import new_key, to_pem

NOW = time.time()


def read(**environ: Path | str) -> Settings:
    texts = {name: str(path) for name, path in environ.items()}
    return read_settings({"MAILNAME": "a.test", **texts}, networks=lambda _: (), root=Path("/nowhere"))


def test_usable_files_give_no_notice(tmp_path: Path) -> None:
    certificate, key = authority().leaf(["a.test"]).write(tmp_path)
    dkim, aliases = tmp_path / "dkim.pem", tmp_path / "aliases"
    dkim.write_bytes(to_pem(new_key("dkim", "ed25519")))
    aliases.write_text("root: admin@b.test\n")
    settings = read(CERTIFICATE_PATH=certificate, KEY_PATH=key, DKIM_KEY_PATH=dkim, ALIASES_FILE=aliases)
    assert check_files(settings, NOW) == ()
    assert settings.notices == ()


def test_every_file_that_would_fail_a_start_is_reported(tmp_path: Path) -> None:
    certificate, _ = authority().leaf(["a.test"]).write(tmp_path, "one")
    _, key = authority().leaf(["a.test"]).write(tmp_path, "other")
    with pytest.raises(SettingsError) as refused:
        check_files(read(CERTIFICATE_PATH=certificate, KEY_PATH=key, DKIM_KEY_PATH=certificate), NOW)
    pair, dkim = refused.value.mistakes
    assert pair.startswith(f"KEY_PATH={key} is not the key of CERTIFICATE_PATH={certificate}")
    assert dkim.startswith(f"DKIM_KEY_PATH={certificate}: ")


SMARTHOST = {"SMARTHOST_ADDRESS": "smtp.x.test"}


def test_the_certificate_for_the_smarthost_is_checked_like_a_start_does(tmp_path: Path) -> None:
    certificate, key = authority().leaf(["a.test"], expired=True).write(tmp_path, "client")
    _, other = authority().leaf(["a.test"]).write(tmp_path, "other")
    paths = {"SMARTHOST_CERTIFICATE_PATH": certificate, "SMARTHOST_KEY_PATH": key}
    (expired,) = check_files(read(**SMARTHOST, **paths), NOW)
    assert expired.startswith(f"SMARTHOST_CERTIFICATE_PATH={certificate}: the certificate expired on ")
    with pytest.raises(SettingsError) as refused:
        check_files(read(**SMARTHOST, **paths | {"SMARTHOST_KEY_PATH": other}), NOW)
    (mistake,) = refused.value.mistakes
    assert mistake.startswith(f"SMARTHOST_KEY_PATH={other} is not the key of SMARTHOST_CERTIFICATE_PATH={certificate}")


def test_a_file_that_a_start_tolerates_is_a_notice(tmp_path: Path) -> None:
    certificate, key = authority().leaf(["a.test"], expired=True).write(tmp_path)
    aliases = tmp_path / "aliases"
    aliases.write_text("no colon here\n")
    expired, line = check_files(read(CERTIFICATE_PATH=certificate, KEY_PATH=key, ALIASES_FILE=aliases), NOW)
    assert expired.startswith(f"CERTIFICATE_PATH={certificate}: the certificate expired on ")
    assert line.startswith(f"aliases file {aliases}, ")
