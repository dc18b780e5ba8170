"""resolv.conf(5): how it is read, and how its changes are followed."""

import os

import pytest
from twisted.internet.task import Clock

from mta.dns.system import ResolvConf


class File:
    """A resolv.conf and its follower."""

    def __init__(self, path):
        self.path = path
        self.clock = Clock()
        self.conf = None

    def follow(self):
        self.conf = ResolvConf(self.clock.seconds, self.path)
        return self.conf

    def later(self):
        """Return the servers and the search list after the time between two readings."""
        self.clock.advance(1)
        return self.conf.servers, self.conf.search


@pytest.fixture
def file(tmp_path):
    return File(tmp_path / "resolv.conf")


@pytest.mark.parametrize(
    ("text", "servers", "search"),
    [
        (
            "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.test b.test\n",
            ("192.0.2.53", "2001:db8::53"),
            ("a.test", "b.test"),
        ),
        ("# nothing\n; at all\n\n", (), ()),
        ("  nameserver\t192.0.2.53 # ours\noptions ndots:5 edns0\n", ("192.0.2.53",), ()),
        ("nameserver dns.example.test\nnameserver 192.0.2.1\n", ("192.0.2.1",), ()),
        ("nameserver 192.0.2.1\nsearch a.test\ndomain B.Test.\n", ("192.0.2.1",), ("b.test",)),
        ("nameserver 192.0.2.1\ndomain b.test\nsearch .\n", ("192.0.2.1",), ()),
        ("nameserver\nsearch\nnonsense here\n", (), ()),
    ],
)
def test_servers_and_search_list_are_read_from_the_file(file, text, servers, search):
    file.path.write_text(text)
    conf = file.follow()
    assert (conf.servers, conf.search) == (servers, search)


def test_octets_that_are_no_utf8_do_no_harm(file):
    file.path.write_bytes(b"# \xff\nnameserver 192.0.2.53\n")
    assert file.follow().servers == ("192.0.2.53",)


def test_a_file_that_is_not_there_names_no_server_until_it_is(file):
    conf = file.follow()
    assert (conf.servers, conf.search) == ((), ())
    file.path.write_text("nameserver 192.0.2.53\n")
    assert file.later() == (("192.0.2.53",), ())


def replaced(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def rewritten_in_place(path, text):
    """Write the file as a bind mount's owner does, so that neither its length nor its times show it."""
    status = path.stat()
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def linked(path, text):
    target = path.with_name("run")
    target.write_text(text)
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("change", [replaced, rewritten_in_place, linked])
def test_a_change_is_seen_a_second_later(file, change):
    file.path.write_text("nameserver 192.0.2.53\nsearch a.test\n")
    conf = file.follow()
    change(file.path, "nameserver 192.0.2.54\nsearch b.test\n")
    assert conf.servers == ("192.0.2.53",)
    before = conf.generation
    assert file.later() == (("192.0.2.54",), ("b.test",))
    assert conf.generation > before


def test_a_file_that_names_no_server_changes_nothing(file):
    file.path.write_text("nameserver 192.0.2.53\nsearch a.test\n")
    conf = file.follow()
    before = conf.generation
    for text in ("", "nameser", "search b.test\n", "# about to be written\n"):
        file.path.write_text(text)
        assert file.later() == (("192.0.2.53",), ("a.test",))
    file.path.unlink()
    assert file.later() == (("192.0.2.53",), ("a.test",))
    file.path.mkdir()
    assert file.later() == (("192.0.2.53",), ("a.test",))
    assert conf.generation == before
