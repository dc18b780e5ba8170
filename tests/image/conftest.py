"""Builds the image once for all tests here, which run by `make image-test` only: they need root and their time."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from harness.daemon import ROOT
from tests.endtoend.conftest import dns, dns_process  # noqa: F401  fixtures of these tests too
from tests.image import base
from tests.image.buildah import TAG, Buildah, pip_configuration, words_of

CACHE = os.environ.get("RELAY_IMAGE_TEST")
if CACHE is None:
    collect_ignore_glob = ["test_*"]


@dataclass(frozen=True)
class Image:
    """The image as it was built, and one container's root file system made of it."""

    buildah: Buildah
    container: str
    root: Path
    base: Path
    #: Its configuration.
    configuration: dict[str, Any]

    @property
    def start(self) -> list[str]:
        """The command line that a container starts with."""
        return list(words_of(self.configuration))


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """Return the image, built from the working tree; only the base's archive is left in the end."""
    assert CACHE is not None
    cache = ROOT / CACHE
    store = cache / "store"
    buildah = Buildah(store)
    try:
        with ExitStack() as stack:
            buildah.import_base(base.base_archive(cache))
            buildah.build(ROOT, pip_configuration(store / "pip"))
            _, plain = stack.enter_context(buildah.container(base.NAME))
            name, root = stack.enter_context(buildah.container(TAG))
            yield Image(buildah, name, root, plain, buildah.configuration(TAG))
    finally:
        rmtree(store, ignore_errors=True)
