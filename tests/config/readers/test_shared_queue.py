"""The database of a shared queue: its URL, its password, the driver, and the name of the relay."""

from pathlib import Path

import pytest

from mta.config.readers.shared_queue import SharedQueue, read_shared_queue
from mta.config.setting import SettingsError, SettingsReader
from mta.config.settings import Settings, read_settings
from mta.config.summary import startup_summary

URL = "postgresql://relay@db1.example.com,db2.example.com/mail"
PASSWORD = "Gehe1m"


def settings(**environ: str) -> Settings:
    return read_settings({"NET_DEV": "none0", **environ}, host_name=lambda: "relay.test")


def shared(**environ: str) -> SharedQueue:
    found = settings(**environ).shared_queue
    assert found is not None
    return found


def notices(**environ: str) -> list[str]:
    return [each for each in settings(**environ).notices if not each.startswith("NET_DEV")]


def mistakes(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(**environ)
    return str(caught.value)


def test_by_default_the_queue_is_the_relays_own() -> None:
    assert settings().shared_queue is None


def test_a_queue_is_shared_by_its_url() -> None:
    found = shared(QUEUE_URL=URL)
    assert str(found.server) == URL
    assert found.node_name == "relay.test"
    assert shared(QUEUE_URL=URL, NODE_NAME="left").node_name == "left"


def test_the_password_comes_from_a_file_or_a_variable_and_is_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    for given in (
        {"QUEUE_URL": URL, "QUEUE_PASSWORD_FILE": str(file)},
        {"QUEUE_URL": URL, "QUEUE_PASSWORD": PASSWORD},
        {"QUEUE_URL": URL.replace("relay@", f"relay:{PASSWORD}@")},
    ):
        found = settings(VERBOSE="true", **given)
        assert found.shared_queue is not None
        assert found.shared_queue.server.connection_parameters()["password"] == PASSWORD
        shown = [repr(found), *map(str, found.effective), *startup_summary(found)]
        assert PASSWORD not in "".join(shown)


@pytest.mark.parametrize("rest", ["db/mail", "db:x/mail", "db/mail?sslmode=none", "db/mail/x", "d%b/mail"])
def test_no_mistake_has_the_password(rest: str) -> None:
    told = mistakes(QUEUE_URL=f"postgresql://relay:{PASSWORD}@{rest}", QUEUE_PASSWORD="other-secret", PORT="x")
    assert PASSWORD not in told
    assert "other-secret" not in told


def test_a_second_password_is_a_mistake() -> None:
    told = mistakes(QUEUE_URL=f"postgresql://relay:{PASSWORD}@db/mail", QUEUE_PASSWORD="other")
    assert "QUEUE_PASSWORD: the URL has a password" in told


def test_a_url_that_cannot_be_used_is_a_mistake() -> None:
    told = mistakes(QUEUE_URL="postgresql://db/mail", QUEUE_PASSWORD=PASSWORD)
    assert told.startswith("QUEUE_URL='postgresql://db/mail': it names no user")
    assert "a correct example is QUEUE_URL=postgresql://" in told


def test_without_a_url_the_others_have_no_effect() -> None:
    assert notices(QUEUE_PASSWORD=PASSWORD, NODE_NAME="left") == [
        "QUEUE_PASSWORD has no effect: QUEUE_URL is not set",
        "NODE_NAME has no effect: QUEUE_URL is not set",
    ]


def test_the_name_of_a_relay_is_one_word() -> None:
    assert "NODE_NAME='a b': not up to 255 letters" in mistakes(QUEUE_URL=URL, NODE_NAME="a b")


def test_without_the_driver_the_package_is_named() -> None:
    reader = SettingsReader({"QUEUE_URL": URL})

    def missing() -> None:
        raise ImportError("no pq wrapper available")

    read_shared_queue(reader, lambda: "relay.test", missing)
    (mistake,) = reader.mistakes
    assert mistake.startswith(
        f"QUEUE_URL='{URL}': the driver of PostgreSQL is not installed: pip install 'smtprelay[postgres]'"
    )


def test_the_systems_authorities_are_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    assert shared(QUEUE_URL=URL).server.connection_parameters()["sslrootcert"] == str(tmp_path)
    own = shared(QUEUE_URL=f"{URL}?sslrootcert=/own.pem").server.connection_parameters()
    assert own["sslrootcert"] == "/own.pem"


def test_a_server_that_need_not_prove_its_name_has_a_notice() -> None:
    (notice,) = notices(QUEUE_URL=f"{URL}?sslmode=require")
    assert notice.startswith("QUEUE_URL has sslmode=require: the server need not prove its name")
    assert not notices(QUEUE_URL="postgresql://relay@localhost/mail?sslmode=disable")


def test_the_summary_tells_the_database_and_the_name() -> None:
    lines = startup_summary(settings(QUEUE_URL=URL, NODE_NAME="left", WORKERS="2"))
    assert f"queue: shared in {URL}, as left, keeps results of messages for 7 days" in lines
    assert "workers: 2 processes, all with the shared queue" in lines
