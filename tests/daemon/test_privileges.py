"""The rules for a relay that is started as root."""

import os
from pathlib import Path

import pytest

from harness.certificates import authority
from mta.config.settings import Settings, read_settings
from mta.daemon.privileges import PrivilegeError, privilege_notices, require_allowed_user, running_as, target_identity


def settings(**environ: str) -> Settings:
    return read_settings({"NET_DEV": "none0", **environ}, host_name=lambda: "host.test", root=Path("/nowhere"))


def as_user(monkeypatch: pytest.MonkeyPatch, real: int, effective: int, saved: int) -> None:
    """Have the system say that we are this user."""
    monkeypatch.setattr(os, "getresuid", lambda: (real, effective, saved))
    monkeypatch.setattr(os, "geteuid", lambda: effective)


@pytest.mark.parametrize("ids", [(0, 0, 0), (7, 0, 7), (0, 7, 7), (7, 7, 0)])
def test_a_process_with_any_root_id_may_not_hold_a_low_port(monkeypatch: pytest.MonkeyPatch, ids: tuple[int, int, int]):
    as_user(monkeypatch, *ids)
    for port in ("25", "587", "1023"):
        with pytest.raises(PrivilegeError, match=f"hold port {port} as root: set RUN_AS"):
            require_allowed_user(settings(PORT=port, RUN_AS="7:7"))
    require_allowed_user(settings(PORT="1024"))


def test_the_lowest_of_all_ports_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0, 0, 0)
    login = {"CERTIFICATE_PATH": __file__, "KEY_PATH": __file__, "AUTH_USERS": "app:{PLAIN}secret", "RUN_AS": "0:0"}
    with pytest.raises(PrivilegeError, match="hold port 465 as root"):
        require_allowed_user(settings(PORT="2525", SUBMISSION_PORT="587", SUBMISSION_TLS_PORT="465", **login))
    require_allowed_user(settings(PORT="2525", SUBMISSION_PORT="2587", **login))


def test_a_process_without_root_may_hold_any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 7, 7, 7)
    require_allowed_user(settings(PORT="25"))
    assert list(privilege_notices(settings(PORT="25"))) == []


def test_the_user_must_be_able_to_read_the_authorities_of_all_smarthosts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trusted = authority().write(tmp_path)
    (tmp_path / "r.toml").write_text(
        f'[smarthost.office]\nhosts = "a.test"\ntls = "verify"\nca_file = "{trusted}"\n'
        '[[router]]\nsmarthost = "office"\n'
    )
    of_setting = settings(PORT="2525", SMARTHOST_ADDRESS="a.test", SMARTHOST_CA_FILE=str(trusted))
    of_rule = settings(PORT="2525", RULES_DIR=str(tmp_path))
    for found in (of_setting, of_rule):
        require_allowed_user(found)
    monkeypatch.setattr(os, "access", lambda path, *_, **__: path != trusted)
    with pytest.raises(PrivilegeError, match=f"^SMARTHOST_CA_FILE={trusted}: let user id"):
        require_allowed_user(of_setting)
    with pytest.raises(PrivilegeError, match=rf"^ca_file={trusted} of \[smarthost.office\] in r.toml:1: let user id"):
        require_allowed_user(of_rule)


def test_root_becomes_the_named_user_but_never_root(monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0, 0, 0)
    named = target_identity(settings(RUN_AS="7:8"))
    assert named is not None
    assert (named.uid, named.gid) == (7, 8)
    assert 8 in named.groups
    assert target_identity(settings(PORT="2525", RUN_AS="root")) is None
    assert target_identity(settings(PORT="2525")) is None
    with pytest.raises(PrivilegeError, match="not RUN_AS=root"):
        target_identity(settings(PORT="25", RUN_AS="root"))


def test_a_relay_that_stays_root_says_so_unless_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0, 0, 0)
    (notice,) = privilege_notices(settings(PORT="2525"))
    assert "runs as root" in notice
    assert list(privilege_notices(settings(PORT="2525", RUN_AS="0:0"))) == []
    assert running_as(settings(PORT="2525", RUN_AS="0:0")).startswith("runs as: 0:0, user id 0, group id ")


def test_a_file_of_rules_that_the_user_may_not_read_is_a_notice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("1.toml", "2.toml"):
        (tmp_path / name).touch()
    as_user(monkeypatch, 7, 7, 7)
    monkeypatch.setattr("mta.file_states.os.access", lambda path, _mode, **_: not str(path).endswith(".toml"))
    (notice,) = (each for each in privilege_notices(settings(RULES_DIR=str(tmp_path))) if each.startswith("rules:"))
    assert f"may not read {tmp_path}/1.toml and 1 more, so changed rules are not taken up" in notice
