"""Files that settings name: missing, empty, unreadable, or readable by all users."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.certificates import authority
from mta.config.setting import SettingsReader
from mta.config.sources import files
from mta.config.sources.macros import Macros


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "crt").write_text("certificate")
    (tmp_path / "key").write_text("key")
    (tmp_path / "empty").write_text("")
    return {"CERTIFICATE_PATH": str(tmp_path / "crt"), "KEY_PATH": str(tmp_path / "key")}


def test_certificate_and_key_are_a_pair(pair: dict[str, str]) -> None:
    reader = SettingsReader(pair)
    assert files.certificate(reader) == (Path(pair["CERTIFICATE_PATH"]), Path(pair["KEY_PATH"]))
    assert reader.notices == reader.mistakes == []


@pytest.mark.parametrize(("given", "missing"), [("KEY_PATH", "CERTIFICATE_PATH"), ("CERTIFICATE_PATH", "KEY_PATH")])
def test_a_certificate_without_a_key_or_the_reverse_is_reported(pair: dict[str, str], given: str, missing: str) -> None:
    reader = SettingsReader({given: pair[given]})
    assert files.certificate(reader) == (None, None)
    assert reader.notices == [f"{given} is set but {missing} is not: STARTTLS is not offered"]


@pytest.mark.parametrize("given", ["CERTIFICATE_PATH", "KEY_PATH"])
def test_a_client_certificate_without_its_key_or_the_reverse_is_a_mistake(pair: dict[str, str], given: str) -> None:
    other = {"CERTIFICATE_PATH": "KEY_PATH", "KEY_PATH": "CERTIFICATE_PATH"}[given]
    reader = SettingsReader({f"SMARTHOST_{given}": pair[given]})
    assert files.client_certificate(reader) is None
    (line,) = reader.mistakes
    assert line.startswith(f"SMARTHOST_{other}='': it is not set although SMARTHOST_{given} is")


def test_a_client_certificate_and_its_key_must_be_files(pair: dict[str, str], tmp_path: Path) -> None:
    reader = SettingsReader({f"SMARTHOST_{name}": path for name, path in pair.items()})
    assert files.client_certificate(reader) == (Path(pair["CERTIFICATE_PATH"]), Path(pair["KEY_PATH"]))
    assert reader.mistakes == []
    for name in pair:
        paths = {f"SMARTHOST_{each}": path for each, path in pair.items()} | {f"SMARTHOST_{name}": str(tmp_path)}
        reader = SettingsReader(paths)
        files.client_certificate(reader)
        (line,) = reader.mistakes
        assert line.startswith(f"SMARTHOST_{name}={str(tmp_path)!r}: it is a directory, not a file")


@pytest.mark.parametrize(("file", "words"), [("none", "there is no such file"), ("empty", "the file is empty")])
def test_a_missing_or_empty_file_means_no_starttls_as_in_the_image(
    pair: dict[str, str], tmp_path: Path, file: str, words: str
) -> None:
    reader = SettingsReader(pair | {"KEY_PATH": str(tmp_path / file)})
    assert files.certificate(reader) == (None, None)
    assert reader.notices == [f"KEY_PATH={tmp_path / file}: {words}; STARTTLS is not offered"]
    assert reader.mistakes == []


def test_a_missing_or_empty_dkim_key_is_a_mistake_and_not_unsigned_mail(pair: dict[str, str], tmp_path: Path) -> None:
    for file, words in (("none", "there is no such file"), ("empty", "the file is empty")):
        reader = SettingsReader({"DKIM_KEY_PATH": str(tmp_path / file)})
        files.dkim_keys(reader)
        (mistake,) = reader.mistakes
        assert mistake.startswith(f"DKIM_KEY_PATH='{tmp_path / file}': {words}; a correct example is")
    assert files.dkim_keys(SettingsReader({"DKIM_KEY_PATH": pair["KEY_PATH"]})) == Path(pair["KEY_PATH"])
    assert files.dkim_keys(SettingsReader({"DKIM_KEY_PATH": str(tmp_path)})) == tmp_path


def test_without_a_dkim_key_its_other_settings_have_no_effect() -> None:
    reader = SettingsReader({"DKIM_CANON": "simple"})
    assert files.dkim_keys(reader) is None
    assert reader.notices == ["DKIM_CANON has no effect: mail is not signed without a key in DKIM_KEY_PATH"]


def test_a_path_that_cannot_be_accessed_is_a_mistake(pair: dict[str, str]) -> None:
    reader = SettingsReader({"DKIM_KEY_PATH": pair["KEY_PATH"] + "/key.pem"})
    assert files.dkim_keys(reader) is None
    (mistake,) = reader.mistakes
    assert ": it cannot be accessed: Not a directory; a correct example is DKIM_KEY_PATH=" in mistake


def test_the_smarthosts_authorities_are_certificates(tmp_path: Path) -> None:
    file = authority().write(tmp_path)
    reader = SettingsReader({"SMARTHOST_CA_FILE": str(file)})
    assert files.authorities(reader) == file
    assert reader.mistakes == []
    assert files.authorities(SettingsReader({})) is None


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("key", "the file contains no PEM certificates"),
        ("none", "there is no such file"),
        ("", "it is a directory, not a file"),
    ],
)
@pytest.mark.usefixtures("pair")
def test_a_file_without_authorities_is_a_mistake(tmp_path: Path, file: str, words: str) -> None:
    reader = SettingsReader({"SMARTHOST_CA_FILE": str(tmp_path / file)})
    files.authorities(reader)
    (mistake,) = reader.mistakes
    assert f": {words}; a correct example is" in mistake


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_the_relay_may_not_read_is_a_mistake(pair: dict[str, str]) -> None:
    path = Path(pair["KEY_PATH"])
    path.chmod(0)
    reader = SettingsReader({"SMARTHOST_CA_FILE": str(path), "MACROS_FILE": str(path)})
    files.authorities(reader)
    assert files.macros(reader) == Macros()
    assert [mistake.count("cannot be read: Permission denied") for mistake in reader.mistakes] == [1, 1]


def test_a_file_of_aliases_or_macros_that_is_named_must_be_there() -> None:
    reader = SettingsReader({"ALIASES_FILE": "/none", "MACROS_FILE": "/none"})
    assert files.aliases(reader) is None
    assert files.macros(reader) == Macros()
    assert [mistake.partition(":")[0] for mistake in reader.mistakes] == [
        "ALIASES_FILE='/none'",
        "MACROS_FILE='/none'",
    ]


def test_a_directory_in_the_place_of_a_file_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SettingsReader({"ALIASES_FILE": str(tmp_path), "MACROS_FILE": str(tmp_path)})
    assert files.aliases(reader) is None
    assert files.macros(reader) == Macros()
    assert [mistake.count("': it is a directory, not a file; a correct example is") for mistake in reader.mistakes] == [
        1,
        1,
    ]
    for name in ("_ALIASES", "_MACROS"):
        monkeypatch.setattr(files, name, tmp_path)
    reader = SettingsReader({})
    assert files.aliases(reader) is None
    assert files.macros(reader) == Macros()
    assert reader.notices == [f"{tmp_path} has no effect: it is a directory, not a file"] * 2
    assert reader.mistakes == []


def test_a_special_file_is_not_reported_as_missing() -> None:
    reader = SettingsReader({"ALIASES_FILE": "/dev/null"})
    assert files.aliases(reader) is None
    assert "it is not a regular file" in reader.mistakes[0]


def test_a_directory_of_keys_without_a_size_is_not_an_empty_file() -> None:
    # As an empty one on btrfs.
    sizeless = Path("/proc/self")
    assert sizeless.stat().st_size == 0
    reader = SettingsReader({"DKIM_KEY_PATH": str(sizeless)})
    assert files.dkim_keys(reader) == sizeless
    assert reader.mistakes == []


def test_a_named_file_of_aliases_or_macros_is_used(pair: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "macros").write_bytes(b"MESSAGE_SIZE_LIMIT = 1K\nB\xff = c\n")
    reader = SettingsReader({"ALIASES_FILE": pair["KEY_PATH"], "MACROS_FILE": str(tmp_path / "macros")})
    assert files.aliases(reader) == Path(pair["KEY_PATH"])
    macros = files.macros(reader)
    assert macros.texts == {"MESSAGE_SIZE_LIMIT": "1K"}
    assert macros.notices[0].startswith(f"{tmp_path}/macros:2: ")


@pytest.mark.parametrize(
    ("setting", "read"),
    [("ALIASES_FILE", files.aliases), ("MACROS_FILE", files.macros), ("SMARTHOST_CA_FILE", files.authorities)],
)
def test_a_name_that_no_file_can_have_is_a_mistake(setting: str, read: Callable[[SettingsReader], object]) -> None:
    reader = SettingsReader({setting: "/" + "x" * 300})
    read(reader)
    (mistake,) = reader.mistakes
    assert "it cannot be accessed: File name too long; a correct example is" in mistake


def test_a_default_file_that_cannot_be_accessed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_ALIASES", Path("/" + "x" * 300))
    reader = SettingsReader({})
    assert files.aliases(reader) is None
    (notice,) = reader.notices
    assert notice.endswith("it cannot be accessed: File name too long")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder to which everyone has a way; that of a test has none."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_private_key_that_all_users_can_read_is_reported(open_folder: Path, mode: int, told: bool) -> None:
    certificate, key = authority().leaf(["mx.test"]).write(open_folder)
    (open_folder / "keys").mkdir()
    dkim = open_folder / "keys" / "a.test.pem"
    for one in (key, dkim):
        one.write_text("key")
        one.chmod(mode)
    advice = "all users of this host can read the private key"
    for path, name in ((dkim, dkim), (dkim.parent, dkim)):
        reader = SettingsReader(
            {"CERTIFICATE_PATH": str(certificate), "KEY_PATH": str(key), "DKIM_KEY_PATH": str(path)}
        )
        files.certificate(reader)
        files.dkim_keys(reader)
        lines = [f"KEY_PATH: {advice} {key}: chmod 600 it", f"DKIM_KEY_PATH: {advice} {name}: chmod 600 it"]
        assert reader.notices == (lines if told else [])


def test_a_key_in_a_folder_that_others_may_not_enter_is_closed_enough(open_folder: Path) -> None:
    (open_folder / "private").mkdir(0o710)
    certificate, key = authority().leaf(["mx.test"]).write(open_folder / "private")
    key.chmod(0o644)
    reader = SettingsReader({"CERTIFICATE_PATH": str(certificate), "KEY_PATH": str(key)})
    files.certificate(reader)
    assert reader.notices == []
