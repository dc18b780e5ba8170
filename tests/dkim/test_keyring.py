"""Tests how key files are found by domain and selector, and how their changes are followed."""

import os
from pathlib import Path

import pytest

from mta.dkim.keyring import CHECK_SECONDS, DkimKeyError, KeyName, open_keyring
from mta.dkim.keys import new_key, public_tag, to_pem

ONE, TWO, THREE = (new_key("", "ed25519") for _ in range(3))
WEAK = new_key("", "rsa", 1024)


class Ring:
    """A keyring with its clock and its notices."""

    def __init__(self, path):
        self.now = 0.0
        self.told = []
        self.path = path
        self.ring = open_keyring(path, "dkim", clock=lambda: self.now, notice=self.told.append)

    def later(self):
        self.now += CHECK_SECONDS

    def signs(self, domain):
        return [(key.selector, public_tag(key)) for key in self.ring.keys(domain)]


def put(path: Path, key, stamp=[1_000_000_000]):  # noqa: B006  one for all calls: no two files have the same time
    """Write a file in place, with a modification time of its own."""
    path.write_bytes(key if isinstance(key, bytes) else to_pem(key))
    stamp[0] += 1
    os.utime(path, (stamp[0], stamp[0]))
    os.utime(path.parent, (stamp[0], stamp[0]))


@pytest.fixture
def file(tmp_path):
    put(tmp_path / "dkim.pem", ONE)
    return Ring(tmp_path / "dkim.pem")


@pytest.fixture
def folder(tmp_path):
    put(tmp_path / "a.test.pem", ONE)
    put(tmp_path / "b.test.s1.pem", TWO)
    return Ring(tmp_path)


def test_one_file_signs_for_every_domain(file):
    assert file.signs("a.test") == file.signs("b.test") == [("dkim", public_tag(ONE))]
    assert file.ring.files() == ()


def test_a_folder_has_keys_by_domain_and_selector(folder):
    assert folder.signs("a.test") == [("dkim", public_tag(ONE))]
    assert folder.signs("b.test") == [("s1", public_tag(TWO))]
    assert folder.signs("c.test") == []
    assert set(folder.ring.files()) == {
        (KeyName("a.test", "dkim"),),
        (KeyName("b.test", "s1"), KeyName("b.test.s1", "dkim")),
    }


def test_a_domain_may_have_several_keys(folder):
    put(folder.path / "a.test.s2.pem", TWO)
    folder.later()
    assert sorted(folder.signs("a.test")) == sorted([("dkim", public_tag(ONE)), ("s2", public_tag(TWO))])


def test_a_sub_domain_has_a_key_of_its_own(folder):
    put(folder.path / "mail.b.test.pem", THREE)
    folder.later()
    assert folder.signs("mail.b.test") == [("dkim", public_tag(THREE))]
    assert folder.signs("b.test") == [("s1", public_tag(TWO))]


def test_a_file_that_names_the_selector_comes_before_one_that_means_it(folder):
    put(folder.path / "a.test.dkim.pem", TWO)
    folder.later()
    assert folder.signs("a.test") == [("dkim", public_tag(TWO))]


def test_upper_case_is_accepted_and_other_files_are_ignored(folder):
    put(folder.path / "C.Test.pem", THREE)
    put(folder.path / "README", b"hello")
    put(folder.path / ".hidden.pem", b"hello")
    folder.later()
    assert folder.signs("c.test") == [("dkim", public_tag(THREE))]
    assert folder.told == []


def test_a_changed_file_is_read_again_but_not_checked_for_each_message(file):
    file.signs("a.test")
    put(file.path, TWO)
    assert file.signs("a.test") == [("dkim", public_tag(ONE))]
    file.later()
    assert file.signs("a.test") == [("dkim", public_tag(TWO))]
    assert file.told == []


def test_a_changed_file_in_a_folder_is_read_again(folder):
    assert folder.signs("a.test") == [("dkim", public_tag(ONE))]
    put(folder.path / "a.test.pem", TWO)
    folder.later()
    assert folder.signs("a.test") == [("dkim", public_tag(TWO))]


def test_an_unusable_new_key_leaves_the_old_one_in_use_and_is_reported_once(file):
    file.signs("a.test")
    put(file.path, b"half of a k")
    for _ in range(3):
        file.later()
        assert file.signs("a.test") == [("dkim", public_tag(ONE))]
    assert len(file.told) == 1
    assert "no private key in PEM form" in file.told[0]
    assert file.told[0].endswith("the old key stays in use")
    put(file.path, TWO)
    file.later()
    assert file.signs("a.test") == [("dkim", public_tag(TWO))]
    put(file.path, b"half of a k")
    file.later()
    assert file.signs("a.test") == [("dkim", public_tag(TWO))]
    assert len(file.told) == 2


def test_a_missing_file_leaves_its_key_in_use_and_is_reported_once(file):
    file.path.unlink()
    for _ in range(3):
        file.later()
        assert file.signs("a.test") == [("dkim", public_tag(ONE))]
    assert len(file.told) == 1
    assert "No such file" in file.told[0]


def test_a_file_taken_out_of_a_folder_signs_no_more(folder):
    (folder.path / "a.test.pem").unlink()
    put(folder.path / "other", b"")
    folder.later()
    assert folder.signs("a.test") == []
    assert folder.signs("b.test") == [("s1", public_tag(TWO))]


def test_a_file_half_written_when_it_is_found_is_used_once_it_is_whole(folder):
    put(folder.path / "c.test.pem", to_pem(THREE)[:50])
    folder.later()
    assert folder.signs("c.test") == []
    assert folder.told[0].endswith("mail is not signed with it")
    state = folder.path.stat()
    put(folder.path / "c.test.pem", THREE)
    os.utime(folder.path, ns=(state.st_atime_ns, state.st_mtime_ns))
    folder.later()
    assert folder.signs("c.test") == [("dkim", public_tag(THREE))]


def test_a_missing_directory_leaves_its_keys_in_use_and_is_reported_once(folder):
    folder.path.rename(folder.path.with_name("elsewhere"))
    for _ in range(3):
        folder.later()
        assert folder.ring.keys("d.test") == ()
    assert len(folder.told) == 1
    assert "the keys known so far stay in use" in folder.told[0]


def test_links_that_are_swapped_as_kubernetes_does_are_followed(tmp_path):
    for version, key in (("..1", ONE), ("..2", TWO)):
        (tmp_path / version).mkdir()
        put(tmp_path / version / "a.test.pem", key)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.test.pem").symlink_to("..data/a.test.pem")
    ring = Ring(tmp_path)
    assert ring.signs("a.test") == [("dkim", public_tag(ONE))]
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    ring.later()
    assert ring.signs("a.test") == [("dkim", public_tag(TWO))]


def test_a_weak_key_works_and_is_reported_at_start(tmp_path):
    put(tmp_path / "a.test.s1.pem", WEAK)
    ring = Ring(tmp_path)
    assert len(ring.told) == 1
    assert "1024 bits is weak" in ring.told[0]
    assert len(ring.signs("a.test")) == 1
    ring.later()
    assert len(ring.signs("a.test")) == 1
    assert len(ring.told) == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("no/such/file", None, "cannot be read: No such file or directory"),
        ("key.pem", b"hello", "no private key in PEM form"),
        ("keys/a.test.pem", b"hello", "no private key in PEM form"),
        ("keys/README", b"hello", "the directory has no file"),
    ],
)
def test_an_unusable_key_at_start_is_one_line_that_names_setting_and_file(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    opened = path.parent if name.startswith("keys/") else path
    with pytest.raises(DkimKeyError, match=words) as caught:
        Ring(opened)
    line = str(caught.value)
    assert line.startswith(f"DKIM_KEY_PATH={opened}")
    assert "\n" not in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_an_error(tmp_path):
    put(tmp_path / "dkim.pem", ONE)
    (tmp_path / "dkim.pem").chmod(0)
    with pytest.raises(DkimKeyError, match="Permission denied; let the relay's user read it"):
        Ring(tmp_path / "dkim.pem")


@pytest.mark.parametrize("name", ["dkim.pem", "a.test.pem"])
def test_a_reload_reads_a_key_with_the_same_stamp_and_reports_an_unusable_one_again(tmp_path, name):
    path = tmp_path / name
    put(path, ONE)
    ring = Ring(path if name == "dkim.pem" else tmp_path)
    status = path.stat()
    path.write_bytes(to_pem(TWO))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    ring.later()
    assert ring.signs("a.test") == [("dkim", public_tag(ONE))]
    ring.ring.reload()
    assert ring.signs("a.test") == [("dkim", public_tag(TWO))]
    put(path, b"no key")
    for told in (1, 2):
        ring.ring.reload()
        assert ring.signs("a.test") == [("dkim", public_tag(TWO))]
        assert [line.endswith("the old key stays in use") for line in ring.told] == [True] * told


def test_a_reload_finds_a_new_file_at_once(folder):
    put(folder.path / "c.test.pem", THREE)
    folder.ring.reload()
    assert folder.signs("c.test") == [("dkim", public_tag(THREE))]
