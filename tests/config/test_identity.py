"""RUN_AS: users and groups by name and by number, and the errors about unknown ones."""

import grp
import os
import pwd

import pytest

from mta.config.identity import Identity, read_identity, usual_identity

ROOT = pwd.getpwuid(0)
UNUSED = 4_000_000_000
GROUP = grp.getgrgid(ROOT.pw_gid).gr_name


@pytest.mark.parametrize("text", [ROOT.pw_name, "0", f"{ROOT.pw_name}:{GROUP}", f"0:{ROOT.pw_gid}"])
def test_a_user_is_named_by_name_or_number_and_brings_its_groups(text: str) -> None:
    groups = tuple(os.getgrouplist(ROOT.pw_name, ROOT.pw_gid))
    assert read_identity(text) == Identity(text, 0, ROOT.pw_gid, groups)
    assert read_identity(text).is_root
    assert str(read_identity(text)) == text


def test_numbers_need_no_entry_in_the_systems_lists() -> None:
    assert read_identity(f"{UNUSED}:{UNUSED}") == Identity(f"{UNUSED}:{UNUSED}", UNUSED, UNUSED, (UNUSED,))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nosuchuser", "there is no user 'nosuchuser' on this host"),
        ("nosuchuser:0", "there is no user"),
        ("0:nosuchgroup", "there is no group 'nosuchgroup'"),
        (str(UNUSED), f"add a group, as in {UNUSED}:{UNUSED}"),
        ("0:", "there is no group ''"),
        (":0", "there is no user ''"),
        ("-1:0", "there is no user '-1'"),
        ("4294967295:0", "is not a valid user or group id"),
        ("0:4294967295", "is not a valid user or group id"),
        ("9999999999:0", "is not a valid user or group id"),
    ],
)
def test_an_unknown_user_or_group_is_an_error(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_identity(text)


def test_the_usual_user_is_the_one_that_the_packages_create_or_none() -> None:
    found = usual_identity()
    assert found is None or found.written == "smtprelay"
