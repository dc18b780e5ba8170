"""The file of settings that a running relay publishes."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from mta.config.setting import SettingsError
from mta.daemon.runtime_settings import (
    USUAL_DIRECTORY,
    address_path,
    publish_settings,
    published_settings,
    settings_path,
)

ENVIRON = {
    "PORT": "2525",
    "QUEUE_DIR": "spool",
    "SMARTHOST_USER": "hidden",
    "SMARTHOST_PASSWORD_FILE": "/run/credentials/smtprelay.service/password",
    "GMAIL_PASSWORD_FILE": "hidden",
    "ALIASES_FILE": "aliases",
    "MAILNAME": "",
    "AWS_SECRET": "hidden",
}


def test_the_settings_are_published_without_secrets(tmp_path: Path) -> None:
    environ = ENVIRON | {"RUNTIME_DIRECTORY": f"{tmp_path}:/other"}
    publish_settings(environ, Path("/var/spool/x"))
    path = settings_path(environ)
    assert path.parent == tmp_path
    assert published_settings(path) == {
        "PORT": "2525",
        "QUEUE_DIR": "/var/spool/x",
        "SMARTHOST_USER": "****",
        "SMARTHOST_PASSWORD_FILE": "/run/credentials/smtprelay.service/password",
        "GMAIL_PASSWORD_FILE": "****",
        "ALIASES_FILE": "aliases",
    }
    assert "hidden" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, "address.json"}
    publish_settings({"RUNTIME_DIRECTORY": str(tmp_path)}, Path("/q"))
    assert published_settings(path) == {"QUEUE_DIR": "/q"}


def test_every_user_can_read_the_address_and_only_that(tmp_path: Path) -> None:
    environ = ENVIRON | {"RUNTIME_DIRECTORY": str(tmp_path), "PROXY_NETWORKS": "127.0.0.1"}
    before = os.umask(0o077)
    try:
        publish_settings(environ, Path("/q"))
    finally:
        os.umask(before)
    path = address_path(environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert published_settings(path) == {"PORT": "2525", "BIND_IP": "", "PROXY_NETWORKS": "127.0.0.1"}


def test_the_password_in_the_url_of_the_queue_is_masked(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": str(tmp_path), "QUEUE_URL": "postgresql://relay:hidden@db/mail"}
    publish_settings(environ, Path("/q"))
    assert published_settings(settings_path(environ))["QUEUE_URL"] == "postgresql://relay:****@db/mail"


def test_a_variable_that_rules_name_is_published_as_set(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": str(tmp_path), "OFFICE_PASSWORD": "hidden", "EMPTY": ""}
    publish_settings(environ, Path("/q"), ("OFFICE_PASSWORD", "EMPTY", "ABSENT"))
    assert published_settings(settings_path(environ)) == {"QUEUE_DIR": "/q", "OFFICE_PASSWORD": "****"}
    assert "hidden" not in settings_path(environ).read_text()


def test_a_relative_queue_directory_is_published_as_absolute(tmp_path: Path) -> None:
    publish_settings({"RUNTIME_DIRECTORY": str(tmp_path)}, Path("spool"))
    assert published_settings(tmp_path / "settings.json") == {"QUEUE_DIR": str(Path.cwd() / "spool")}


def test_without_a_runtime_directory_no_settings_are_published(tmp_path: Path) -> None:
    publish_settings({"RUNTIME_DIRECTORY": str(tmp_path / "none")}, Path("/q"))
    assert list(tmp_path.iterdir()) == []
    assert published_settings(tmp_path / "none" / "settings.json") == {}
    assert settings_path({}).parent == USUAL_DIRECTORY


@pytest.mark.parametrize("content", ["", "[]", '{"PORT": 1}', "\xff", "[" * 100_000])
def test_a_file_that_was_not_published_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content, "latin-1")
    with pytest.raises(SettingsError, match=r"is not a file of settings: restart the relay, or set QUEUE_DIR"):
        published_settings(path)


def test_only_known_settings_are_read_from_it(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"PORT": "26", "LD_PRELOAD": "x"}))
    assert published_settings(path) == {"PORT": "26"}


def test_neither_a_link_nor_a_pipe_in_its_place_is_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("{}")
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("other")
    os.mkfifo(pipe)
    for path in (link, pipe):
        with pytest.raises(SettingsError, match="or set QUEUE_DIR"):
            published_settings(path)


def test_one_that_cannot_be_read_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory: restart the relay, or set QUEUE_DIR"):
        published_settings(tmp_path)


def test_another_user_is_told_who_may_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # The tests run as root, who may read all files.
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SettingsError) as refused:
        published_settings(Path("/run/x.json"))
    words = "only root and the relay's own user may do this: /run/x.json cannot be read: Permission denied"
    assert refused.value.mistakes == (words,)
