"""Builds the image once for all tests here, which run by `make image-test` only: they need root and their time.

`make image-platforms` builds it for each platform, for the tests in test_platforms.py.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from harness.daemon import ROOT
from tests.endtoend.conftest import dns, dns_process  # noqa: F401  fixtures of these tests too
from tests.image import base
from tests.image.buildah import TAG, Buildah, words_of
from tests.image.mypyc import FOLDER, mypyc
from tests.image.platforms import BUILT_TWICE, PLATFORMS, emulated
from tests.image.snapshot import DATE, snapshot_host

CACHE = os.environ.get("RELAY_IMAGE_TEST")
#: The build argument COMPILE.
COMPILE = os.environ.get("RELAY_IMAGE_COMPILE", "")
PLATFORMS_CACHE = os.environ.get("RELAY_IMAGE_PLATFORMS")
_PLATFORMS_TEST = "test_platforms.py"
_IMAGE_TESTS = [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != _PLATFORMS_TEST]
collect_ignore = [*([] if CACHE else _IMAGE_TESTS), *([] if PLATFORMS_CACHE else [_PLATFORMS_TEST])]


@dataclass(frozen=True)
class Image:
    """The image as it was built, and one container's root file system made of it."""

    buildah: Buildah
    container: str
    root: Path
    base: Path
    #: Its configuration.
    configuration: dict[str, Any]
    #: The build arguments.
    arguments: dict[str, str]

    @property
    def start(self) -> list[str]:
        """The command line that a container starts with."""
        return list(words_of(self.configuration))


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """Return the image, built from the working tree; only the base's archive is left in the end."""
    assert CACHE is not None
    with built(ROOT / CACHE, COMPILE=COMPILE) as image:
        yield image


@pytest.fixture(scope="module", params=PLATFORMS)
def platform_image(request: pytest.FixtureRequest) -> Iterator[Image]:
    """Return the image for each architecture in turn, built in the same way."""
    assert PLATFORMS_CACHE is not None
    with emulated(request.param), snapshot_host() as host:
        arguments = {"SOURCE_DATE_EPOCH": "1796000000"}
        # It has three lists of packages, which qemu takes minutes to read.
        if request.param in BUILT_TWICE:
            arguments |= {"SNAPSHOT": DATE, "SNAPSHOT_HOST": host}
        with built(ROOT / PLATFORMS_CACHE, request.param, **arguments) as image:
            yield image


@contextmanager
def built(cache: Path, architecture: str = "", **arguments: str) -> Iterator[Image]:
    """Build the image with these build arguments, and make containers of it and of its base."""
    store = cache / "store"
    buildah = Buildah(store)
    platform = PLATFORMS.get(architecture, "")
    try:
        with ExitStack() as stack:
            buildah.import_base(base.base_archive(cache, architecture), platform)
            volumes = {mypyc(cache / "mypyc"): FOLDER} if arguments.get("COMPILE") else {}
            buildah.build(ROOT, platform, volumes, **arguments)
            _, plain = stack.enter_context(buildah.container(base.NAME))
            name, root = stack.enter_context(buildah.container(TAG))
            yield Image(buildah, name, root, plain, buildah.configuration(TAG), arguments)
    finally:
        rmtree(store, ignore_errors=True)
