"""The file of policies: kept over restarts, closed to others, made anew when it is damaged."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue.disk.permissions import secure_contents
from mta.sts.kept import MAX_DOMAINS, KeptPolicy
from mta.sts.policy import MAX_AGE, StsMode, StsPolicy
from mta.sts.policy_file import FILE_NAME, PolicyFile, PolicyFileDamaged
from tests.strategies import domains

NOW = 1_800_000_000.25
POLICY = StsPolicy(StsMode.ENFORCE, ("mx.test", "*.example.test"), 604_800)
ONE = KeptPolicy(POLICY, "20261130", NOW, NOW + 1)

policies = st.builds(
    KeptPolicy,
    st.builds(
        StsPolicy,
        st.sampled_from(StsMode),
        st.lists(domains, min_size=1, max_size=3, unique=True).map(tuple),
        st.integers(0, MAX_AGE),
    ),
    st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True),
    st.floats(0, 1e10),
    st.floats(0, 1e10),
)


@given(st.dictionaries(domains, policies, max_size=4))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, saved: dict[str, KeptPolicy]) -> None:
    folder = tmp_path_factory.mktemp("home")
    PolicyFile(folder).write(saved)
    assert PolicyFile(folder).read() == saved


def test_no_file_is_no_policy(tmp_path: Path) -> None:
    assert PolicyFile(tmp_path).read() == {}
    assert list(tmp_path.iterdir()) == []


def test_changes_replace_and_remove(tmp_path: Path) -> None:
    file = PolicyFile(tmp_path)
    none = KeptPolicy(StsPolicy(StsMode.NONE, (), 0), "2", NOW, NOW)
    file.write({"a.test": ONE, "b.test": ONE})
    file.write({"a.test": none, "b.test": None, "c.test": None})
    assert file.read() == {"a.test": none}


def test_the_file_is_for_the_relay_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        PolicyFile(tmp_path).write({"a.test": ONE})
    finally:
        os.umask(before)
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME]
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "other" / "file")
    with pytest.raises(OSError, match="symbolic"):
        PolicyFile(tmp_path).write({"a.test": ONE})
    assert list((tmp_path / "other").iterdir()) == []


def test_the_file_is_among_those_that_a_start_closes_to_others(tmp_path: Path) -> None:
    PolicyFile(tmp_path).write({"a.test": ONE})
    (tmp_path / FILE_NAME).chmod(0o666)
    secure_contents(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def damaged(path: Path, how: str) -> None:
    if how == "octets":
        path.write_bytes(b"no database\n" * 100)
        return
    if how == "cut":
        path.write_bytes(path.read_bytes()[:5000])
        return
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(how)


@pytest.mark.parametrize(
    "how",
    [
        "octets",
        "cut",
        "PRAGMA user_version = 2",
        "DROP TABLE policy",
        "ALTER TABLE policy DROP COLUMN used",
        "UPDATE policy SET policy = 'version: STSv1'",
        "UPDATE policy SET fetched = 'soon'",
        "UPDATE policy SET policy = x'ff00'",
    ],
)
def test_a_damaged_file_is_told_and_made_anew(tmp_path: Path, how: str) -> None:
    file = PolicyFile(tmp_path)
    file.write({f"{number}.test": ONE for number in range(100)})
    damaged(tmp_path / FILE_NAME, how)
    with pytest.raises(PolicyFileDamaged) as caught:
        file.read()
    assert str(caught.value).isprintable()
    assert file.read() == {}
    file.write({"a.test": ONE})
    assert file.read() == {"a.test": ONE}


def test_damage_shows_at_a_write_too(tmp_path: Path) -> None:
    file = PolicyFile(tmp_path)
    file.write({"a.test": ONE})
    damaged(tmp_path / FILE_NAME, "octets")
    with pytest.raises(PolicyFileDamaged):
        file.write({"b.test": ONE})
    file.write({"b.test": ONE})
    assert file.read() == {"b.test": ONE}


def test_a_start_that_was_killed_before_the_tables_were_made_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    assert PolicyFile(tmp_path).read() == {}
    PolicyFile(tmp_path).write({"a.test": ONE})
    assert PolicyFile(tmp_path).read() == {"a.test": ONE}


def test_a_file_that_cannot_be_opened_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    for work in (PolicyFile(tmp_path).read, lambda: PolicyFile(tmp_path).write({"a.test": ONE})):
        with pytest.raises(OSError) as caught:  # noqa: PT011  the text is the system's
            work()
        assert not isinstance(caught.value, PolicyFileDamaged)
    assert (tmp_path / FILE_NAME).is_dir()


def test_a_write_that_is_cut_off_leaves_the_old_content(tmp_path: Path) -> None:
    file = PolicyFile(tmp_path)
    file.write({"a.test": ONE})
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute("DELETE FROM policy")
        # Closed without a commit, as a kill would.
    assert file.read() == {"a.test": ONE}


def test_ten_thousand_policies_are_read(tmp_path: Path) -> None:
    file = PolicyFile(tmp_path)
    file.write({f"{number}.test": ONE for number in range(MAX_DOMAINS + 1)})
    assert len(file.read()) == MAX_DOMAINS


def test_one_policy_is_looked_up_and_the_file_is_not_changed(tmp_path: Path) -> None:
    file = PolicyFile(tmp_path / "a home?")
    assert file.look_up("a.test") is None
    (tmp_path / "a home?").mkdir()
    file.write({"a.test": ONE})
    (tmp_path / "a home?" / FILE_NAME).chmod(0o400)
    assert (file.look_up("a.test"), file.look_up("b.test")) == (ONE, None)
    damaged(tmp_path / "a home?" / FILE_NAME, "UPDATE policy SET fetched = 'soon'")
    before = (tmp_path / "a home?" / FILE_NAME).read_bytes()
    with pytest.raises(OSError, match=r"mta-sts\.sqlite cannot be read: could not convert"):
        file.look_up("a.test")
    assert (tmp_path / "a home?" / FILE_NAME).read_bytes() == before
