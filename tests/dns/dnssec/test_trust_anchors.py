"""The keys of the root: from which file they are read, and those that the relay brings."""

from pathlib import Path

import pytest

from mta.dns.dnssec.trust_anchors import ANCHOR_FILES, read_anchors, root_anchors

OWN = ". IN DS 4711 13 2 " + "AB" * 32


def test_records_are_read_and_comments_are_not() -> None:
    text = f"; comment DS\n\n{OWN} ; the key\n. 3600 IN dnskey 257 3 13 AAAA\n. IN NS a.\n;;id: . 1\n"
    assert read_anchors(text) == (OWN, ". 3600 IN dnskey 257 3 13 AAAA")


def test_the_first_file_with_records_counts(tmp_path: Path) -> None:
    empty, good, other = (tmp_path / name for name in ("empty", "good", "other"))
    empty.write_text("; nothing\n")
    good.write_text(OWN)
    other.write_text(OWN.replace("4711", "4712"))
    assert root_anchors([tmp_path / "missing", tmp_path, empty, good, other]) == (OWN,)


def test_without_a_file_the_relay_has_the_keys_that_debian_has(tmp_path: Path) -> None:
    built_in = root_anchors([tmp_path / "missing"])
    assert len(built_in) == 2
    debian = ANCHOR_FILES[0].with_name("root.ds")
    if not debian.exists():
        pytest.skip("the root's keys are missing (Debian: dns-root-data)")
    assert set(read_anchors(debian.read_text())) == set(built_in)
