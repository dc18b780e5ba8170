"""The settings of submission: ports, users, and logins without TLS."""

import os
from pathlib import Path

import pytest

from mta.config.logins.submission import Submission, read_submission
from mta.config.setting import MASK, SettingsError, SettingsReader
from mta.config.table import AUTH_USERS
from mta.config.unknown_variables import notice_quotes

USERS = {"AUTH_USERS": "app:{PLAIN}hidden"}


def submission(certificate: bool = True, **environ: str) -> tuple[Submission, list[str]]:
    reader = SettingsReader(environ)
    found = read_submission(reader, certificate=certificate)
    reader.check()
    return found, reader.notices


def mistakes(certificate: bool = True, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        submission(certificate, **environ)
    return [line.partition("; a correct example")[0] for line in refused.value.mistakes]


def test_without_settings_there_is_no_port_and_no_user() -> None:
    assert submission() == (Submission(None, None, "", 0, None, in_clear=False), [])


def test_ports_and_users_are_read() -> None:
    found, notices = submission(SUBMISSION_PORT="587", SUBMISSION_TLS_PORT="465", AUTH_IN_CLEAR="Trusted", **USERS)
    assert found == Submission(587, 465, "app:{PLAIN}hidden", 1, None, in_clear=True)
    assert notices == []


def test_the_users_are_not_in_the_text_of_the_value() -> None:
    assert "hidden" not in repr(submission(**USERS)[0])


@pytest.mark.parametrize("name", ["SUBMISSION_PORT", "SUBMISSION_TLS_PORT"])
def test_a_port_without_a_certificate_is_a_mistake(name: str) -> None:
    (line,) = mistakes(certificate=False, AUTH_IN_CLEAR="trusted", **{name: "587"}, **USERS)
    assert line == (
        f"{name}='587': the port needs a certificate, because its clients log in inside TLS;"
        " set CERTIFICATE_PATH and KEY_PATH"
    )


@pytest.mark.parametrize("name", ["SUBMISSION_PORT", "SUBMISSION_TLS_PORT"])
def test_a_port_without_users_is_a_mistake(name: str) -> None:
    (line,) = mistakes(**{name: "587"})
    assert line == f"AUTH_USERS: it is not set although {name} is set: no client could log in"
    (line,) = mistakes(AUTH_USERS_FILE="/dev/null", **{name: "587"})
    assert line.startswith("AUTH_USERS: the file that AUTH_USERS_FILE names is empty although")


def test_a_port_that_another_setting_has_is_a_mistake() -> None:
    assert mistakes(PORT="587", SUBMISSION_PORT="587", **USERS) == ["SUBMISSION_PORT='587': PORT is the same port"]
    assert mistakes(SUBMISSION_TLS_PORT="25", **USERS) == ["SUBMISSION_TLS_PORT='25': PORT is the same port"]
    assert mistakes(SUBMISSION_PORT="587", SUBMISSION_TLS_PORT="587", **USERS) == [
        "SUBMISSION_TLS_PORT='587': SUBMISSION_PORT is the same port"
    ]


def test_users_who_cannot_log_in_are_a_notice() -> None:
    (notice,) = submission(certificate=False, **USERS)[1]
    assert notice.startswith("AUTH_USERS has no effect: without a certificate no client can log in; set CERTIFICATE_")
    assert submission(certificate=False, AUTH_IN_CLEAR="trusted", **USERS)[1] == []
    assert submission(certificate=True, **USERS)[1] == []


def test_logins_in_clear_without_users_have_no_effect() -> None:
    assert submission(AUTH_IN_CLEAR="trusted")[1] == ["AUTH_IN_CLEAR has no effect: AUTH_USERS is not set"]


def test_users_come_from_a_file_that_may_change(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("# applications\napp:{PLAIN}one two@example.org\nweb:{PLAIN}three\n")
    found, notices = submission(SUBMISSION_PORT="587", AUTH_USERS_FILE=str(file))
    assert found.users == "# applications\napp:{PLAIN}one two@example.org\nweb:{PLAIN}three"
    assert (found.users_file, found.count) == (file, 2)
    assert notices == []


def test_a_file_of_users_may_be_larger_than_that_of_another_secret(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("".join(f"user{number}:{{PLAIN}}secret\n" for number in range(10_000)))
    assert len(submission(AUTH_USERS_FILE=str(file))[0].users.splitlines()) == 10_000
    file.write_bytes(b"#" * (1 << 25) + b"\n")
    assert "AUTH_USERS_FILE" in mistakes(AUTH_USERS_FILE=str(file))[0]


@pytest.mark.parametrize("text", ["", "# none yet\n"])
def test_a_file_without_users_is_a_notice_because_it_may_get_users_later(tmp_path: Path, text: str) -> None:
    file = tmp_path / "users"
    file.write_text(text)
    found, notices = submission(SUBMISSION_PORT="587", AUTH_USERS_FILE=str(file))
    assert (found.users_file, found.count) == (file, 0)
    assert notices == [
        f"AUTH_USERS_FILE={file}: it has no users, so that no client can log in; add one by smtprelay user add"
    ]


def test_lines_that_cannot_be_used_are_a_mistake_with_numbers_and_reasons_only(tmp_path: Path) -> None:
    text = "app:{PLAIN}one\nhidden\nweb:hidden\n\nold:$1$hidden$hidden\nhidden\n"
    file = tmp_path / "users"
    file.write_text(text)
    (line,) = mistakes(AUTH_USERS=text)
    assert mistakes(AUTH_USERS_FILE=str(file))[0].startswith(f"AUTH_USERS: {file}, lines 2, 6: ")
    assert line.startswith("AUTH_USERS: lines 2, 6: it has no : between a name and a secret; line 3: ")
    assert "hidden" not in line


def test_a_comma_does_not_separate_users() -> None:
    (line,) = mistakes(AUTH_USERS="app:{PLAIN}hidden,web:{PLAIN}hidden")
    assert line.endswith("; a comma does not separate users: write each on a line of its own")
    assert "hidden" not in line
    assert (
        submission(AUTH_USERS="app:{PLAIN}a,b c:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo")[1] == []
    )


def test_a_mask_as_a_relay_publishes_it_is_no_mistake() -> None:
    assert submission(AUTH_USERS=MASK)[0].count == 0


def test_the_example_is_a_user() -> None:
    assert submission(AUTH_USERS=AUTH_USERS.example)[0].count == 1


def test_a_file_that_is_missing_is_one_mistake() -> None:
    (line,) = mistakes(SUBMISSION_PORT="587", AUTH_USERS_FILE="/none")
    assert line == "AUTH_USERS_FILE='/none': the file cannot be read: No such file or directory"


def test_users_from_a_pipe_are_read_once_and_do_not_change() -> None:
    out, into = os.pipe()
    os.write(into, b"app:{PLAIN}hidden\n")
    os.close(into)
    found, _ = submission(AUTH_USERS_FILE=f"/dev/fd/{out}")
    os.close(out)
    assert (found.users, found.users_file) == ("app:{PLAIN}hidden", None)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a:{PLAIN}x b|{PLAIN}y", ["a:{PLAIN}x", "b|{PLAIN}y"]),
        ("a:{PLAIN}x\nb:{PLAIN}y", ["a:{PLAIN}x", "b:{PLAIN}y"]),
        ("a:{PLAIN}x a@example.org @example.net", ["a:{PLAIN}x a@example.org @example.net"]),
        ("a:{PLAIN}x *", ["a:{PLAIN}x *"]),
        ("#a:{PLAIN}x b:{PLAIN}y", ["#a:{PLAIN}x b:{PLAIN}y"]),
        ("# a:b c:d\na:{PLAIN}x b:{PLAIN}y", ["# a:b c:d", "a:{PLAIN}x", "b:{PLAIN}y"]),
    ],
)
def test_blanks_in_the_variable_separate_users_that_have_no_list_of_senders(text: str, lines: list[str]) -> None:
    assert submission(AUTH_USERS=text)[0].users.splitlines() == lines


def test_several_users_and_blanks_around_them_are_not_reported_as_a_login_of_several_lines() -> None:
    reader = SettingsReader({"AUTH_USERS": "\n  a:{PLAIN}x\n  b:{PLAIN}y\n"})
    notice_quotes(reader)
    assert reader.notices == []
