"""The templates and the files of the page: packed with the relay, and with their licences."""

import configparser
from pathlib import Path

import pytest

from mta.admin.page.rendering import pace_text, time_tag
from tests.admin.page.browser import TEMPLATES

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = ROOT / "mta" / "admin" / "page"


def test_each_template_and_each_file_is_packed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["mta.admin.page"].split()
    packed = {path for pattern in patterns for path in PAGE.glob(pattern) if path.is_file()}
    files = {path for folder in ("static", "templates") for path in (PAGE / folder).rglob("*") if path.is_file()}
    assert files == packed


@pytest.mark.parametrize("name", ["htmx", "uPlot"])
def test_foreign_scripts_come_with_their_licence(name: str) -> None:
    vendor = PAGE / "static" / "vendor"
    assert list(vendor.glob(f"{name}*.js"))
    assert (vendor / f"{name}.LICENSE").read_text()


def test_the_page_serves_no_other_kind_of_file() -> None:
    assert {name.rpartition(".")[2] for name in TEMPLATES.files} == {"css", "js", "svg"}
    for file in TEMPLATES.files.values():
        assert b"http://" not in file.content.replace(b"http://www.w3.org/", b"")


def test_a_time_is_in_utc_until_a_script_adds_the_local_one() -> None:
    assert time_tag(1_700_000_000.5) == '<time datetime="2023-11-14T22:13:20Z">14 Nov 22:13:20 UTC</time>'


@pytest.mark.parametrize("pace", [0.0, 1e-9, 0.01, 0.5, 2.0, 1000.0])
def test_a_pace_is_always_told(pace: float) -> None:
    assert pace_text(pace)
