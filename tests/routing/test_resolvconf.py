import pytest

from mta.routing.resolvconf import system_servers


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
        ("search a.test\ndomain B.Test.\n", (), ("b.test",)),
        ("domain b.test\nsearch .\n", (), ()),
        ("nameserver\nsearch\nnonsense here\n", (), ()),
    ],
)
def test_servers_and_search_list_are_read_from_the_file(tmp_path, text, servers, search):
    (tmp_path / "resolv.conf").write_text(text)
    assert system_servers(str(tmp_path / "resolv.conf")) == (servers, search)


def test_octets_that_are_no_utf8_do_no_harm(tmp_path):
    (tmp_path / "resolv.conf").write_bytes(b"# \xff\nnameserver 192.0.2.53\n")
    assert system_servers(str(tmp_path / "resolv.conf")) == (("192.0.2.53",), ())


def test_a_file_that_is_not_there_names_nobody(tmp_path):
    assert system_servers(str(tmp_path / "resolv.conf")) == ((), ())
