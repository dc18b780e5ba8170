"""The reader of settings: secrets, their files, macros, mistakes and notices."""

import os
from pathlib import Path

import pytest

from mta.config.setting import Setting, SettingsError, SettingsReader, Source, ValueType, shorten
from mta.config.sources.exim import read_port

PORT = Setting("PORT", ValueType(read_port), "25", "The port.", "2525")
PASSWORD = Setting("PASSWORD", ValueType(str), "", "The password.", "correct-horse", secret=True)


def mistakes(reader: SettingsReader) -> list[str]:
    reader.get(PORT)
    reader.get(PASSWORD)
    return reader.mistakes


@pytest.mark.parametrize("environ", [{}, {"PORT": ""}, {"PORT": "  "}])
def test_an_unset_or_empty_variable_has_its_default(environ: dict[str, str]) -> None:
    reader = SettingsReader(environ)
    assert reader.get(PORT) == 25
    assert not reader.is_set(PORT)


def test_blanks_around_a_value_do_not_count_but_those_before_a_secret_do() -> None:
    reader = SettingsReader({"PORT": " 26\n", "PASSWORD": " x "})
    assert reader.get(PORT) == 26
    assert reader.get(PASSWORD) == " x"


@pytest.mark.parametrize("end", ["", " ", "\n", "\r", "\r\n", " \n\n", "\t\r\n \n"])
def test_blanks_and_line_ends_at_the_end_of_a_secret_do_not_count(end: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(f"p w:\u00a0{end}".encode())
    assert SettingsReader({"PASSWORD": f"p w:\u00a0{end}"}).get(PASSWORD) == "p w:\u00a0"
    assert SettingsReader({"PASSWORD_FILE": str(tmp_path / "secret")}).get(PASSWORD) == "p w:\u00a0"


def test_a_secret_of_blanks_alone_is_unset() -> None:
    assert not SettingsReader({"PASSWORD": " \r\n"}).is_set(PASSWORD)


@pytest.mark.parametrize("text", ['"26"', "'26'"])
def test_a_mistake_in_quotation_marks_says_that_they_count(text: str) -> None:
    (line,) = mistakes(SettingsReader({"PORT": text}))
    assert "the quotation marks are part of the value, remove them; a correct example is" in line


def test_a_mistake_has_the_variable_the_value_the_problem_and_an_example() -> None:
    assert mistakes(SettingsReader({"PORT": "x"})) == [
        "PORT='x': 'x' is not a port, a number from 1 to 65535; a correct example is PORT=2525"
    ]


def test_a_mistake_is_reported_once_and_the_default_is_used() -> None:
    reader = SettingsReader({"PORT": "x"})
    assert [reader.get(PORT), reader.get(PORT)] == [25, 25]
    assert len(reader.mistakes) == 1
    with pytest.raises(SettingsError, match=r"^PORT='x': "):
        reader.check()


def test_a_mistake_stays_one_short_line_whatever_the_value() -> None:
    (line,) = mistakes(SettingsReader({"PORT": "a\nb\x1b[31m\u202e" * 1000}))
    assert line.isprintable()
    assert len(line) < 600


def test_an_error_carries_every_mistake() -> None:
    error = SettingsError(["PORT='x': wrong", "BIND_IP='y': wrong"])
    assert error.mistakes == ("PORT='x': wrong", "BIND_IP='y': wrong")
    assert str(error) == "PORT='x': wrong\nBIND_IP='y': wrong"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n\n", "s3cret"),
        (b" a b \n", " a b"),
        (b"\n", ""),
        (b"\xef\xbb\xbfx\r\n", "x"),
    ],
)
def test_a_secret_is_read_from_its_file_without_the_last_line_ends(tmp_path: Path, content: bytes, secret: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    reader = SettingsReader({"PASSWORD": "", "PASSWORD_FILE": str(file)})
    assert reader.get(PASSWORD) == secret
    assert reader.is_set(PASSWORD) is bool(secret)
    assert not reader.mistakes


def test_a_pipe_that_no_program_writes_to_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.config.setting._PIPE_PATIENCE", 0.0)
    os.mkfifo(tmp_path / "pipe")
    (line,) = mistakes(SettingsReader({"PASSWORD_FILE": str(tmp_path / "pipe")}))
    assert "it is a pipe, and no program wrote to it for 0 s" in line


def test_a_secret_comes_through_a_pipe() -> None:
    out, into = os.pipe()
    os.write(into, b"s3cret\n")
    os.close(into)
    assert SettingsReader({"PASSWORD_FILE": f"/dev/fd/{out}"}).get(PASSWORD) == "s3cret"
    os.close(out)


def test_a_secrets_file_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret")
    reader = SettingsReader({"PASSWORD_FILE": str(file)})
    reader.get(PASSWORD)
    file.unlink()
    assert reader.get(PASSWORD) == "s3cret"


def test_a_secret_given_twice_is_a_mistake_that_shows_neither() -> None:
    assert mistakes(SettingsReader({"PASSWORD": "s3cret", "PASSWORD_FILE": "/run/x"})) == [
        "PASSWORD and PASSWORD_FILE are both set; keep one of them; a correct example is PASSWORD=correct-horse"
    ]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "/no/such/file",
            "PASSWORD_FILE='/no/such/file': the file cannot be read: No such file or directory; a correct example is",
        ),
        ("/", "PASSWORD_FILE='/': the file cannot be read: Is a directory;"),
        ("/dev/zero", "PASSWORD_FILE='/dev/zero': the file is longer than 65536 octets;"),
        ("s3cret", "PASSWORD_FILE=****: the file cannot be read: No such file or directory;"),
        ("s3\0cret", "PASSWORD_FILE=****: the file is not UTF-8 text, or its name is not a path;"),
    ],
)
def test_a_secrets_file_that_cannot_be_read_is_a_mistake(path: str, words: str) -> None:
    (line,) = mistakes(SettingsReader({"PASSWORD_FILE": path}))
    assert line.startswith(words)


def test_a_secrets_file_that_is_no_text_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xff\xfe")
    (line,) = mistakes(SettingsReader({"PASSWORD_FILE": str(file)}))
    assert line.startswith(f"PASSWORD_FILE='{file}': the file is not UTF-8 text, or its name is not a path;")


def test_a_secret_that_cannot_be_used_is_a_mistake_that_does_not_show_it() -> None:
    strict = Setting("PASSWORD", ValueType(lambda text: text and str(int(text, 36) * 0)), "", "", "abc", secret=True)
    reader = SettingsReader({"PASSWORD": "s3-cret"})
    assert reader.get(strict) == ""
    assert reader.mistakes[0].startswith("PASSWORD: ")


def test_text_is_shortened_to_one_line() -> None:
    assert shorten("abc", 5) == "abc"
    assert shorten("abcdef", 5) == "ab..."
    assert shorten("a\nb", 5) == "a?b"


def test_macros_set_variables_that_the_environment_leaves_unset() -> None:
    reader = SettingsReader({"PORT": " "})
    reader.add_macros({"PORT": "26"})
    assert (reader.get(PORT), reader.source(PORT)) == (26, Source.MACROS)
    assert reader.notices == []


def test_the_environment_overrides_macros_with_a_notice() -> None:
    reader = SettingsReader({"PORT": "27"})
    reader.add_macros({"PORT": "26"})
    assert (reader.get(PORT), reader.source(PORT)) == (27, Source.ENVIRONMENT)
    assert reader.notices == ["PORT in the macros file has no effect: it is set in the environment"]


def test_a_value_knows_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    assert SettingsReader({}).source(PORT) is Source.DEFAULT
    assert SettingsReader({"PASSWORD": "s"}).source(PASSWORD) is Source.ENVIRONMENT
    assert SettingsReader({"PASSWORD_FILE": str(tmp_path / "secret")}).source(PASSWORD) is Source.FILE
    assert SettingsReader({"PASSWORD_FILE": "/none"}).source(PASSWORD) is Source.DEFAULT


def test_a_mistake_found_after_parsing_is_reported_like_others() -> None:
    reader = SettingsReader({"PORT": "26", "PASSWORD": "s3cret"})
    reader.mistake(PORT, "it is taken")
    reader.mistake(PASSWORD, "it is weak")
    assert reader.mistakes == [
        "PORT='26': it is taken; a correct example is PORT=2525",
        "PASSWORD: it is weak; a correct example is PASSWORD=correct-horse",
    ]


def test_a_value_that_is_the_example_is_not_its_own_correction() -> None:
    reader = SettingsReader({"PORT": "2525"})
    reader.mistake(PORT, "it needs a certificate")
    assert reader.mistakes == ["PORT='2525': it needs a certificate"]


def test_a_mistake_shows_no_password_of_a_url() -> None:
    reader = SettingsReader({"PORT": "smtp://me:hid'den@host.test:25"})
    reader.mistake(PORT, "'hid'den@host.test' is no port")
    (line,) = reader.mistakes
    assert line.startswith("PORT='smtp://me:****@host.test:25': '****@host.test' is no port; a correct example")


@pytest.mark.parametrize(("text", "differs"), [("", False), ("25", False), ("025", False), ("26", True), ("x", False)])
def test_a_default_that_is_spelled_out_does_not_differ(text: str, differs: bool) -> None:
    assert SettingsReader({"PORT": text}).is_non_default(PORT) is differs
