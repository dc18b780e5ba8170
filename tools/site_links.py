"""A hook of mkdocs: shows links to files outside docs/ as paths, because the site has no copy of those files.

The pages are read in the repository too, where such links work.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page's text with the links replaced. mkdocs calls this for each page before it renders the page."""
    del page, config, files
    return without_outside_links(markdown)


def without_outside_links(markdown: str) -> str:
    """Return the text with each link that leads out of docs/ replaced by its text and, if that differs, the path."""
    return _OUTSIDE.sub(_as_path, markdown)


def _as_path(link: re.Match[str]) -> str:
    text, path = link.groups()
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"
