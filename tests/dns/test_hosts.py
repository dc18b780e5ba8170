"""The hosts file: how it is parsed, and that changes are noticed."""

import os
from pathlib import Path

from mta.dns.system import HostsFile, parse_hosts


def test_names_addresses_and_comments_are_read() -> None:
    text = "127.0.0.1\tlocalhost loop # us\n# 192.0.2.9 not\n\n::1 localhost\n192.0.2.1 Mail.Test. mail\n"
    assert parse_hosts(text + "bad line\n127.0.0.1 loop") == {
        "localhost": ("127.0.0.1", "::1"),
        "loop": ("127.0.0.1",),
        "mail.test": ("192.0.2.1",),
        "mail": ("192.0.2.1",),
    }


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(path)
    assert hosts.addresses("mail") == ()
    path.write_text("192.0.2.1 mail\n")
    assert hosts.addresses("MAIL") == ("192.0.2.1",)
    path.write_text("192.0.2.2 mail\n")
    os.utime(path, ns=(1, 1))
    assert hosts.addresses("mail") == ("192.0.2.2",)
    path.unlink()
    assert hosts.addresses("mail") == ()
