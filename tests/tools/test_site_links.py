"""Links of the pages that lead out of docs/ become paths on the site; all others stay."""

import pytest

from tools.site_links import without_outside_links


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[bench/README.md](../bench/README.md) has", "`bench/README.md` has"),
        ("[`bench/README.md`](../bench/README.md)", "`bench/README.md`"),
        ("[`test_it`](../tests/a.py), [`C`](../tests/c.py)", "`test_it` (`tests/a.py`), `C` (`tests/c.py`)"),
        ("[The queue](../queue_schema/README.md#merging)", "The queue (`queue_schema/README.md`)"),
        ("[a page](server.md#starttls)", "[a page](server.md#starttls)"),
        ("[a heading](#below)", "[a heading](#below)"),
        ("[x](https://example.org/../y)", "[x](https://example.org/../y)"),
    ],
)
def test_a_link_out_of_the_folder_becomes_a_path(markdown: str, expected: str) -> None:
    assert without_outside_links(markdown) == expected
